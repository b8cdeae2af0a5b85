package module

import (
	"fmt"
	"strings"
)

// A Verdict is what would become of a module that pg-bgw is told to load.
type Verdict string

// The verdicts.
const (
	Loads   Verdict = "loads"   // it is loaded; a stub that it calls raises FATAL
	Refused Verdict = "refused" // it is not loaded
	Unknown Verdict = "unknown" // all that it needs is there, but its magic block cannot be found
)

// How a module's magic block compares with that of the release.
const (
	MagicFits    = "fits"
	MagicDiffers = "differs"
	MagicMissing = "missing" // the module was built without PG_MODULE_MAGIC
	MagicUnknown = "unknown" // it is in the module, and cannot be found there
)

// A Report says what a module needs, and whether that is there. No list is nil, and each is sorted by name.
type Report struct {
	File       string   `json:"file"`
	Verdict    Verdict  `json:"verdict"`
	Faults     []string `json:"faults"`     // why it is refused
	PostgreSQL int      `json:"postgresql"` // the major release that it was held against
	Library    string   `json:"library"`    // of that release
	Magic      string   `json:"magic"`      // one of the words above
	Block      *Magic   `json:"block"`      // nil where it was not found
	Provided   []string `json:"provided"`   // symbols of the server that are there
	Stubs      []string `json:"stubs"`      // functions of the server that raise FATAL when they are called
	Impossible []string `json:"impossible"` // data of the server, which is not there
	Missing    []string `json:"missing"`    // symbols that neither the server nor a library has
}

// Release is the major release that f says it was built for, 0 where it does not.
func (f *File) Release() int {
	if f.exports[magicFunction] && len(f.magic) == 1 {
		return f.magic[0].Major()
	}
	return 0
}

// Check holds a module against a release's library.
func Check(f *File, r *Release) *Report {
	out := &Report{File: f.Path, PostgreSQL: r.Major, Library: r.Library, Faults: []string{},
		Provided: []string{}, Stubs: []string{}, Impossible: []string{}, Missing: []string{}}
	out.checkMagic(f, r)
	s := &scope{cache: readCache(linkerCache), loaded: map[string]*File{}}
	s.add(r.file)
	s.add(f)
	out.Faults = append(out.Faults, s.faults...)
	out.checkSymbols(f, r, s)
	switch {
	case len(out.Faults) > 0:
		out.Verdict = Refused
	case out.Magic == MagicUnknown:
		out.Verdict = Unknown
	default:
		out.Verdict = Loads
	}
	return out
}

func (out *Report) fault(format string, args ...any) {
	out.Faults = append(out.Faults, fmt.Sprintf(format, args...))
}

func (out *Report) checkMagic(f *File, r *Release) {
	switch {
	case !f.exports[magicFunction]:
		out.Magic = MagicMissing
		out.fault("there is no magic block: a module uses PG_MODULE_MAGIC")
	case len(f.magic) != 1: // two: nothing says which of them the function returns
		out.Magic = MagicUnknown
	default:
		out.Block = &f.magic[0]
		out.Magic = MagicFits
		if d := out.Block.differs(&r.magic); d != "" {
			out.Magic = MagicDiffers
			out.fault("the magic block does not fit: %s", d)
		}
	}
}

// checkSymbols sorts the symbols that the module needs. Those of other libraries are nobody's concern.
func (out *Report) checkSymbols(f *File, r *Release, s *scope) {
	for _, name := range f.symbols() {
		known, ofServer := r.symbols[name]
		switch {
		case known == provided:
			out.Provided = append(out.Provided, name)
		case known == stub:
			out.Stubs = append(out.Stubs, name)
		case !f.needs[name] || r.file.exports[name] || s.defines(name):
		case ofServer:
			out.Impossible = append(out.Impossible, name)
		default:
			out.Missing = append(out.Missing, name)
		}
	}
	if len(out.Impossible) > 0 {
		out.fault("it needs data of the server, which exists only inside it: %s", some(out.Impossible))
	}
	if len(out.Missing) > 0 {
		out.fault("it needs what neither PostgreSQL %d nor a library that it is linked with defines: %s", r.Major, some(out.Missing))
	}
}

// some names the first of names.
func some(names []string) string {
	const most = 3
	if n := len(names); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n-most)
	}
	return strings.Join(names, ", ")
}
