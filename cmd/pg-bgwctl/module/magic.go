package module

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Magic is a module's magic block: what PG_MODULE_MAGIC leaves in it of the headers that it was built against
// (struct Pg_magic_struct of fmgr.h). A module fits where all of it is equal.
type Magic struct {
	Length       int    `json:"length"`  // of the structure, in bytes
	Version      int    `json:"version"` // PG_VERSION_NUM / 100: 1500, or 906 for 9.6
	FuncMaxArgs  int    `json:"func_max_args"`
	IndexMaxKeys int    `json:"index_max_keys"`
	NameDataLen  int    `json:"namedatalen"`
	Float8ByVal  int    `json:"float8byval"`
	ABI          string `json:"abi,omitempty"` // since 15: who makes the server, "PostgreSQL"
}

// magicFunction is what PostgreSQL calls for the block. Its result cannot be had without running it.
const magicFunction = "Pg_magic_func"

// The lengths that the structure has had: with FLOAT4PASSBYVAL until 12; with the ABI's name since 15; since 18 followed
// by two pointers, the module's name and version, which need not be equal.
const (
	magicLength12 = 28
	magicLength13 = 24
	magicLength15 = 56
	magicLength18 = 72
)

// findMagic searches e's data for magic blocks. The block is static and constant, so that it lies in the file as it is,
// and so many numbers with a known relation to each other are nowhere by chance.
func findMagic(e *elf.File) ([]Magic, error) {
	var found []Magic
	for _, s := range e.Sections {
		if s.Type != elf.SHT_PROGBITS || s.Flags&elf.SHF_ALLOC == 0 || s.Flags&(elf.SHF_EXECINSTR|elf.SHF_COMPRESSED) != 0 {
			continue
		}
		data, err := s.Data()
		if err != nil {
			return nil, fmt.Errorf("it is damaged: section %s: %w", s.Name, err)
		}
		for at := int(-s.Addr & 3); at < len(data); at += 4 {
			if m, ok := parseMagic(data[at:], e.ByteOrder); ok && !slices.Contains(found, m) {
				found = append(found, m)
			}
		}
	}
	return found, nil
}

// parseMagic reads the block that data begins with, if it begins with one.
func parseMagic(data []byte, order binary.ByteOrder) (Magic, bool) {
	if len(data) < magicLength13 {
		return Magic{}, false
	}
	word := func(n int) int { return int(int32(order.Uint32(data[4*n:]))) }
	m := Magic{Length: word(0), Version: word(1), FuncMaxArgs: word(2), IndexMaxKeys: word(3), NameDataLen: word(4), Float8ByVal: word(5)}
	var expect int
	switch {
	case m.Version < 802 || m.Version >= 10_000:
		return Magic{}, false
	case m.Version < 1300:
		expect = magicLength12
	case m.Version < 1500:
		expect = magicLength13
	case m.Version < 1800:
		expect = magicLength15
	default:
		expect = magicLength18
	}
	if m.Length != expect || len(data) < m.Length || !m.plausible() {
		return Magic{}, false
	}
	switch m.Length {
	case magicLength12:
		m.Float8ByVal = word(6)
	case magicLength15, magicLength18:
		name, rest, _ := bytes.Cut(data[24:56], []byte{0})
		m.ABI = string(name)
		if !printable(m.ABI) || len(bytes.Trim(rest, "\x00")) > 0 {
			return Magic{}, false
		}
	}
	return m, m.Float8ByVal == 0 || m.Float8ByVal == 1
}

// plausible holds the numbers to what PostgreSQL can be built with (pg_config_manual.h).
func (m *Magic) plausible() bool {
	in := func(n, low, high int) bool { return n >= low && n <= high }
	return in(m.FuncMaxArgs, 8, 1000) && in(m.IndexMaxKeys, 4, 1000) && in(m.NameDataLen, 16, 4096)
}

func printable(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// Major is the major release: 15, or 9 for all of 9.x.
func (m *Magic) Major() int { return m.Version / 100 }

// Release is the major release as PostgreSQL writes it: "15", "9.6".
func (m *Magic) Release() string {
	if m.Version < 1000 {
		return fmt.Sprintf("%d.%d", m.Version/100, m.Version%100)
	}
	return strconv.Itoa(m.Major())
}

// differs says in what a module's block m differs from that of the release's library, in PostgreSQL's order of asking;
// "" where it fits.
func (m *Magic) differs(library *Magic) string {
	switch {
	case *m == *library:
		return ""
	case m.Major() != library.Major():
		return fmt.Sprintf("it was built for PostgreSQL %s, the library is for %s", m.Release(), library.Release())
	case m.ABI != library.ABI:
		return fmt.Sprintf("it has the ABI %q, the library %q", m.ABI, library.ABI)
	}
	var out []string
	for _, f := range []struct {
		name        string
		have, other int
	}{
		{"FUNC_MAX_ARGS", m.FuncMaxArgs, library.FuncMaxArgs}, {"INDEX_MAX_KEYS", m.IndexMaxKeys, library.IndexMaxKeys},
		{"NAMEDATALEN", m.NameDataLen, library.NameDataLen}, {"FLOAT8PASSBYVAL", m.Float8ByVal, library.Float8ByVal},
	} {
		if f.have != f.other {
			out = append(out, fmt.Sprintf("%s is %d, the library's %d", f.name, f.have, f.other))
		}
	}
	return strings.Join(out, "; ")
}
