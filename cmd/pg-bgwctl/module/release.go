package module

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Release is the library that stands for one major release of the server, libpgbgw-pgNN.so, with what its build says of
// the server's symbols, libpgbgw-pgNN.symbols.
type Release struct {
	Major   int
	Library string // path

	file    *File
	magic   Magic
	symbols map[string]kind
}

// A kind is what there is of a symbol of the server.
type kind int

// The kinds.
const (
	foreign    kind = iota // not the server's: of the C library, or of another
	provided               // the release's library has it
	stub                   // it can be called, which raises FATAL with its name
	impossible             // data of the server, of which there is none
)

var kinds = map[string]kind{"provided": provided, "stub": stub, "data": impossible}

var releaseForm = regexp.MustCompile(`^libpgbgw-pg([1-9][0-9]{0,3})\.so$`)

// Releases are the major releases that dir has a library for, in rising order; none where dir cannot be read.
func Releases(dir string) []int {
	var majors []int
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if m := releaseForm.FindStringSubmatch(e.Name()); m != nil {
			n, _ := strconv.Atoi(m[1]) // digits
			majors = append(majors, n)
		}
	}
	slices.Sort(majors)
	return majors
}

// OpenRelease reads the library of a major release in dir, of the newest for 0. The error says which there are.
func OpenRelease(dir string, major int) (*Release, error) {
	have := Releases(dir)
	switch {
	case len(have) == 0:
		return nil, fmt.Errorf("%s has no libpgbgw-pgNN.so of any release of PostgreSQL", dir)
	case major == 0:
		major = have[len(have)-1]
	case !slices.Contains(have, major):
		return nil, fmt.Errorf("there is no library for PostgreSQL %d in %s, but for %s", major, dir, list(have))
	}
	r := &Release{Major: major, Library: filepath.Join(dir, fmt.Sprintf("libpgbgw-pg%d.so", major))}
	if err := r.read(filepath.Join(dir, fmt.Sprintf("libpgbgw-pg%d.symbols", major))); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Release) read(symbols string) error {
	var err error
	if r.file, err = open(r.Library, true); err != nil {
		return fmt.Errorf("cannot read the library of PostgreSQL %d, %s: %w", r.Major, r.Library, err)
	}
	if len(r.file.magic) != 1 || r.file.magic[0].Major() != r.Major {
		return fmt.Errorf("%s is no library of PostgreSQL %d: its magic block cannot be found", r.Library, r.Major)
	}
	r.magic = r.file.magic[0]
	if r.symbols, err = readSymbols(symbols); err != nil {
		return fmt.Errorf("cannot read what the library of PostgreSQL %d provides: %w", r.Major, err)
	}
	return nil
}

// readSymbols reads a list of the server's symbols: name and kind on each line.
func readSymbols(path string) (map[string]kind, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	symbols := map[string]kind{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		name, word, _ := strings.Cut(lines.Text(), " ")
		k, ok := kinds[word]
		if !ok || name == "" {
			return nil, fmt.Errorf("%s:%d: %q is not the name of a symbol and \"provided\", \"stub\" or \"data\"", path, n, lines.Text())
		}
		symbols[name] = k
	}
	if err := cmp.Or(lines.Err(), empty(symbols)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return symbols, nil
}

func empty(symbols map[string]kind) error {
	if len(symbols) == 0 {
		return errors.New("it names no symbol")
	}
	return nil
}

func list(numbers []int) string {
	out := make([]string, len(numbers))
	for i, n := range numbers {
		out[i] = strconv.Itoa(n)
	}
	return strings.Join(out, ", ")
}
