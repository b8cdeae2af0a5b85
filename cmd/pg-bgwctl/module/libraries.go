package module

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A scope is where the symbols of a module are looked for: the libraries that dlopen would load.
type scope struct {
	cache  map[string][]string // of the dynamic linker: paths by name
	loaded map[string]*File    // by the name that it is needed under
	faults []string            // what would keep dlopen from loading them
}

// linkerCache is the dynamic linker's list of libraries, written by ldconfig(8).
const linkerCache = "/etc/ld.so.cache"

// defaultDirs are where the dynamic linker looks for what is not in its cache.
var defaultDirs = []string{"/lib64", "/usr/lib64", "/lib", "/usr/lib"}

// add loads what f is linked with, and what that is linked with.
func (s *scope) add(f *File) {
	for _, name := range f.libraries {
		if s.loaded[name] != nil {
			continue
		}
		library := s.find(f, name)
		if library == nil {
			s.faults = append(s.faults, fmt.Sprintf("library %s, which %s is linked with, is not found", name, filepath.Base(f.Path)))
			library = &File{Path: name} // said once
		}
		s.loaded[name] = library
		s.add(library)
	}
	for _, name := range slices.Sorted(maps.Keys(f.needed)) {
		library, versions := s.loaded[name], f.needed[name]
		if library == nil || library.exports == nil {
			continue
		}
		for _, v := range versions {
			if len(library.versions) > 0 && !library.versions[v] { // without any, the linker only warns
				s.faults = append(s.faults, fmt.Sprintf("%s has no version %s, which %s needs", library.Path, v, filepath.Base(f.Path)))
			}
		}
	}
}

// find looks for a library as ld.so(8) does, but for the environment of the process: nil if there is none.
func (s *scope) find(of *File, name string) *File {
	if strings.Contains(name, "/") {
		f, _ := open(name, false)
		return f
	}
	origin, err := filepath.Abs(filepath.Dir(of.Path))
	if err != nil {
		origin = "."
	}
	var tries []string
	for _, dirs := range of.runpath {
		for dir := range strings.SplitSeq(dirs, ":") {
			dir = strings.NewReplacer("$ORIGIN", origin, "${ORIGIN}", origin).Replace(dir)
			tries = append(tries, filepath.Join(dir, name))
		}
	}
	tries = append(tries, s.cache[name]...)
	for _, dir := range defaultDirs {
		tries = append(tries, filepath.Join(dir, name))
	}
	for _, path := range tries {
		if f, err := open(path, false); err == nil { // one for another machine is passed over
			return f
		}
	}
	return nil
}

// defines reports whether a library has a symbol.
func (s *scope) defines(symbol string) bool {
	for _, f := range s.loaded {
		if f.exports[symbol] {
			return true
		}
	}
	return false
}

// The form of the cache, from glibc's <dl-cache.h>: a header, then entries whose strings are found by their offset from
// the header.
const (
	cacheMagic  = "glibc-ld.so.cache1.1"
	cacheHeader = 48
	cacheEntry  = 24
	cacheLimit  = 64 << 20
)

// readCache reads the linker's cache, as much of it as there is: without one, the default directories remain.
// There may be several of one name, for other machines.
func readCache(path string) map[string][]string {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > cacheLimit {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return parseCache(data)
}

func parseCache(data []byte) map[string][]string {
	start := bytes.Index(data, []byte(cacheMagic)) // an older form may stand before it
	if start < 0 || len(data)-start < cacheHeader {
		return nil
	}
	data = data[start:]
	text := func(at uint32) string {
		if uint64(at) >= uint64(len(data)) {
			return ""
		}
		s, _, _ := bytes.Cut(data[at:], []byte{0})
		return string(s)
	}
	paths := map[string][]string{}
	count := binary.NativeEndian.Uint32(data[len(cacheMagic):])
	for rest := data[cacheHeader:]; count > 0 && len(rest) >= cacheEntry; count-- {
		name, path := text(binary.NativeEndian.Uint32(rest[4:])), text(binary.NativeEndian.Uint32(rest[8:]))
		paths[name] = append(paths[name], path)
		rest = rest[cacheEntry:]
	}
	return paths
}
