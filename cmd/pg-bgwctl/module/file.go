package module

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
)

// A File is a shared library, as far as loading it is concerned.
type File struct {
	Path string

	needs     map[string]bool     // symbols that others have to define; false: it can do without
	exports   map[string]bool     // symbols that it defines for others
	libraries []string            // DT_NEEDED
	runpath   []string            // where those are looked for first, with $ORIGIN
	needed    map[string][]string // by library, the versions of its symbols that are needed
	versions  map[string]bool     // versions that it defines itself
	magic     []Magic             // what looks like a magic block, no two equal
}

// Open reads the shared library at path. The error says what the file is, where that is no shared library of this machine.
func Open(path string) (*File, error) {
	f, err := open(path, true)
	if err != nil {
		return nil, fmt.Errorf("cannot check %s: %w", path, err)
	}
	return f, nil
}

// open is Open without the name in its errors; the magic block is looked for on demand.
func open(path string, magic bool) (*File, error) {
	info, err := os.Stat(path) // before opening it: a pipe would have us wait for a writer
	switch {
	case err != nil:
		return nil, errors.Unwrap(err)
	case info.IsDir():
		return nil, errors.New("it is a directory; name the file of a module in it")
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	}
	r, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer r.Close()
	return read(path, r, magic)
}

func read(path string, r io.ReaderAt, magic bool) (*File, error) {
	if err := checkStart(r); err != nil {
		return nil, err
	}
	e, err := elf.NewFile(r)
	if err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	if err := checkKind(e); err != nil {
		return nil, err
	}
	f := &File{Path: path, needs: map[string]bool{}, exports: map[string]bool{}, needed: map[string][]string{}, versions: map[string]bool{}}
	if err := f.readDynamic(e); err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	if magic {
		f.magic, err = findMagic(e)
	}
	return f, err
}

// checkStart tells by its first bytes that a file is no ELF file.
func checkStart(r io.ReaderAt) error {
	start := make([]byte, 8)
	n, err := r.ReadAt(start, 0)
	start = start[:n]
	switch {
	case err != nil && err != io.EOF:
		return err
	case n == 0:
		return errors.New("it is empty")
	case bytes.Equal(start, []byte("!<arch>\n")):
		return errors.New("it is a static archive; link a shared library of its members (cc -shared)")
	case bytes.HasPrefix(start, []byte("BC\xc0\xde")):
		return errors.New("it is LLVM bitcode; the module is the file NAME.so")
	case !bytes.HasPrefix(start, []byte(elf.ELFMAG)):
		return errors.New("it is no ELF file; a module is a shared library, made by cc -shared or by PGXS")
	}
	return nil
}

// machines are the architectures that pg-bgw is built for, by Go's names.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// checkKind refuses what dlopen would refuse by its header alone.
func checkKind(e *elf.File) error {
	want := machines[runtime.GOARCH]
	switch {
	case e.Machine != want || e.Class != elf.ELFCLASS64 || e.Data != elf.ELFDATA2LSB:
		return fmt.Errorf("it is for another machine: %v, %v, %v; this one is %v, %v, %v",
			e.Machine, e.Class, e.Data, want, elf.ELFCLASS64, elf.ELFDATA2LSB)
	case e.Type == elf.ET_REL:
		return errors.New("it is an object file; link a shared library of it (cc -shared)")
	case e.Type == elf.ET_EXEC:
		return errors.New("it is a program, no shared library")
	case e.Type != elf.ET_DYN:
		return fmt.Errorf("it is no shared library but of type %v", e.Type)
	case len(e.Sections) == 0:
		return errors.New("its section headers were removed: without them it cannot be read")
	}
	flags, _ := e.DynValue(elf.DT_FLAGS_1)
	if len(flags) > 0 && elf.DynFlag1(flags[0])&elf.DF_1_PIE != 0 {
		return errors.New("it is a program, no shared library")
	}
	return nil
}

func (f *File) readDynamic(e *elf.File) error {
	symbols, err := e.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return err
	}
	for _, s := range symbols {
		bind := elf.ST_BIND(s.Info)
		switch {
		case bind == elf.STB_LOCAL || s.Name == "":
		case s.Section == elf.SHN_UNDEF:
			f.needs[s.Name] = bind != elf.STB_WEAK
		case elf.ST_VISIBILITY(s.Other) != elf.STV_HIDDEN && elf.ST_VISIBILITY(s.Other) != elf.STV_INTERNAL:
			f.exports[s.Name] = true
		}
	}
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		paths, err := e.DynString(tag)
		if err != nil {
			return err
		}
		f.runpath = append(f.runpath, paths...)
	}
	if f.libraries, err = e.ImportedLibraries(); err != nil || e.SectionByType(elf.SHT_GNU_VERSYM) == nil {
		return err
	}
	return f.readVersions(e)
}

// readVersions reads the versions of symbols, which a file need not have.
func (f *File) readVersions(e *elf.File) error {
	needs, err := e.DynamicVersionNeeds()
	if err != nil {
		return err
	}
	for _, n := range needs {
		for _, d := range n.Needs {
			if d.Flags&elf.VER_FLG_WEAK == 0 {
				f.needed[n.Name] = append(f.needed[n.Name], d.Dep)
			}
		}
	}
	versions, err := e.DynamicVersions()
	for _, v := range versions {
		f.versions[v.Name] = true
	}
	return err
}

// symbols are the names that f needs, sorted.
func (f *File) symbols() []string { return slices.Sorted(maps.Keys(f.needs)) }
