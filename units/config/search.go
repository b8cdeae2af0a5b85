package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// sources reads the files of p: the main file first, then the definitions by
// name, then the files given one by one.
func (p Paths) sources() (files []File, diags hcl.Diagnostics) {
	if p.Main != "" {
		src, err := readFile(nil, p.Main)
		switch {
		case err == nil:
			files = append(files, File{Path: p.Main, Source: src})
		case errors.Is(err, errHidden), errors.Is(err, fs.ErrNotExist) && !p.MainRequired:
		default:
			diags = append(diags, unreadable(p.Main, err))
		}
	}
	found, more := p.search()
	files, diags = append(files, found...), append(diags, more...)
	for _, path := range p.Files {
		src, err := readFile(nil, path)
		switch {
		case err == nil:
			files = append(files, File{Path: path, Source: src})
		case !errors.Is(err, errHidden):
			diags = append(diags, unreadable(path, err))
		}
	}
	return files, diags
}

// search reads the definitions of the directories, sorted by name; of equal
// names only the one in the earliest directory.
func (p Paths) search() (files []File, diags hcl.Diagnostics) {
	chosen := make(map[string]File)
	for _, path := range p.Workers {
		diags = append(diags, p.readDir(path, chosen)...)
		if len(chosen) > maxFiles {
			return nil, append(diags, unreadable(path, fmt.Errorf("with it there are more than %d files", maxFiles)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(chosen)) {
		if f := chosen[name]; f.Source != nil {
			files = append(files, f)
		}
	}
	return files, diags
}

// readDir reads into chosen the files of one directory whose names are not
// taken. A file that hides others, or that cannot be read, takes its name with
// no source.
func (p Paths) readDir(path string, chosen map[string]File) (diags hcl.Diagnostics) {
	dir, err := openDir(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && !p.WorkersRequired {
			return nil
		}
		return hcl.Diagnostics{unreadable(path, err)}
	}
	defer dir.Close()
	names, err := listDir(dir)
	if err != nil {
		return hcl.Diagnostics{unreadable(path, err)}
	}
	slices.Sort(names)
	total := 0
	for _, name := range names {
		if _, taken := chosen[name]; taken || !definitionName(name) {
			continue
		}
		if len(chosen) > maxFiles {
			break
		}
		f := File{Path: filepath.Join(path, name)}
		if !printable(name) {
			err = errors.New("its name has bytes that cannot be shown; rename it")
		} else {
			f.Source, err = readFile(dir, name)
		}
		if err != nil && !errors.Is(err, errHidden) {
			diags = append(diags, unreadable(f.Path, err))
		}
		chosen[name] = f
		if total += len(f.Source); total > maxTotal {
			clear(chosen) // to judge a part of them helps nobody
			return append(diags, unreadable(path, fmt.Errorf("its files hold more than %d MiB", maxTotal>>20)))
		}
	}
	return diags
}

// definitionName reports whether a file of that name in a directory of
// definitions is read. What editors and package managers leave behind is not,
// for it ends otherwise: "x.hcl~", "x.hcl.dpkg-old", "x.hcl.rpmsave".
func definitionName(name string) bool {
	return !strings.HasPrefix(name, ".") && (strings.HasSuffix(name, ".hcl") || isJSON(name))
}

func isJSON(name string) bool { return strings.HasSuffix(name, ".hcl.json") }

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func unreadable(path string, err error) *hcl.Diagnostic {
	shown := path
	if !printable(path) {
		shown = fmt.Sprintf("%q", path)
	}
	return &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  fmt.Sprintf("Cannot read %s: %s", shown, reason(err)),
	}
}
