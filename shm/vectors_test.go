package shm

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the files in testdata/vectors")

// vector is memory that all libraries have to accept, or to refuse: see doc.go.
type vector struct {
	why     string
	kind    string
	size    int64
	key     uint64
	content []byte // from the start; all else is 0
	accept  bool
	areas   []vectorArea
}

// vectorArea is what a look-up in an accepted segment finds; offset 0 is an
// error.
type vectorArea struct {
	name   string
	size   int
	offset uint64
}

func (v *vector) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\nkind %s\nsize %d\n", v.why, v.kind, v.size)
	if v.kind == "toc" {
		fmt.Fprintf(&b, "key %d\n", v.key)
	}
	for at := 0; at < len(v.content); at += 16 {
		line := v.content[at:min(at+16, len(v.content))]
		if strings.Trim(string(line), "\x00") != "" {
			fmt.Fprintf(&b, "at %d: % x\n", at, line)
		}
	}
	if !v.accept {
		b.WriteString("refuse\n")
		return b.String()
	}
	b.WriteString("accept\n")
	for _, a := range v.areas {
		if a.offset == 0 {
			fmt.Fprintf(&b, "area %s %d error\n", a.name, a.size)
			continue
		}
		fmt.Fprintf(&b, "area %s %d %d\n", a.name, a.size, a.offset)
	}
	return b.String()
}

func parseVector(text string) (v vector, err error) {
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		var e error
		switch word {
		case "#":
			v.why = rest
		case "kind":
			v.kind = rest
		case "size":
			v.size, e = strconv.ParseInt(rest, 10, 64)
		case "key":
			v.key, e = strconv.ParseUint(rest, 10, 64)
		case "at":
			var at int
			var b []byte
			place, digits, _ := strings.Cut(rest, ":")
			if at, e = strconv.Atoi(place); e == nil {
				b, e = hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
			}
			for len(v.content) < at+len(b) {
				v.content = append(v.content, 0)
			}
			copy(v.content[at:], b)
		case "accept":
			v.accept = true
		case "refuse":
		case "area":
			var a vectorArea
			var offset string
			_, e = fmt.Sscan(rest, &a.name, &a.size, &offset)
			if e == nil && offset != "error" {
				a.offset, e = strconv.ParseUint(offset, 10, 64)
			}
			v.areas = append(v.areas, a)
		default:
			e = fmt.Errorf("unknown line %q", line)
		}
		err = errors.Join(err, e)
	}
	return v, err
}

// use does with the memory what a library does, and returns its refusal.
func (v *vector) use(t *testing.T) error {
	switch v.kind {
	case "segment":
		file := sealedHeader(t, v.content, v.size)
		a, err := attach(int(file.Fd()))
		if err != nil {
			return err
		}
		defer a.mem.unmap()
		for _, want := range v.areas {
			data, found, err := a.areas.find(want.name, want.size)
			switch {
			case want.offset == 0 && err == nil:
				t.Errorf("area %q is found", want.name)
			case want.offset != 0 && (err != nil || !found || &data[0] != &a.mem[want.offset]):
				t.Errorf("area %q: found %v, %v", want.name, found, err)
			}
		}
		return nil
	case "slots":
		s, err := openSlots(int(sealedHeader(t, v.content, v.size).Fd()))
		if err == nil {
			s.mem.unmap()
		}
		return err
	}
	p := newTestParty(t, 1)
	data := make([]byte, v.size)
	copy(data, v.content)
	var err error
	switch v.kind {
	case "queue":
		_, err = p.openQueue(data)
	case "lock":
		_, err = p.openLock(data)
	case "condition":
		_, err = p.openCondition(data)
	case "barrier":
		_, err = p.openBarrier(data)
	case "toc":
		_, err = OpenTOC(v.key, data)
	default:
		t.Fatalf("unknown kind %q", v.kind)
	}
	return err
}

// TestVectors: what stands in testdata is what is made here, and it is accepted
// and refused as it says.
func TestVectors(t *testing.T) {
	all := vectors(t)
	for name, v := range all {
		path := filepath.Join("testdata", "vectors", name+".txt")
		if *update {
			if err := os.WriteFile(path, []byte(v.text()), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := filepath.Glob("testdata/vectors/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if made, ok := all[name]; !ok || made.text() != string(text) {
				t.Errorf("%s is not what is made here", path)
			}
			v, err := parseVector(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := v.use(t); (err == nil) != v.accept {
				t.Errorf("accept is %v: %v", v.accept, err)
			}
		})
		delete(all, name)
	}
	for name := range all {
		t.Errorf("%s has no file", name)
	}
}

// vectors makes all of them.
func vectors(t *testing.T) map[string]*vector {
	all := map[string]*vector{}
	add := func(v vector) {
		name := v.kind + "-" + strings.ReplaceAll(v.why, " ", "-")
		if all[name] != nil {
			t.Fatalf("two vectors %s", name)
		}
		all[name] = &v
	}
	segmentVectors(add)
	slotsVectors(add)
	objectVectors(t, add)
	return all
}

func segmentVectors(add func(vector)) {
	good := newSegmentHeader("main", MinSize, 1)
	add(vector{why: "new", kind: "segment", size: MinSize, content: good.bytes()[:], accept: true})
	for name, bad := range badHeaders() {
		h := newSegmentHeader("main", MinSize, 1)
		bad.change(h.bytes()[:])
		add(vector{why: name, kind: "segment", size: bad.size, content: h.bytes()[:]})
	}
	for name, change := range map[string]func(h *segmentHeader){
		"newer minor version":          func(h *segmentHeader) { h.minor = 9 },
		"features that may be ignored": func(h *segmentHeader) { h.features = 1<<32 - 1 },
		"no tranches": func(h *segmentHeader) {
			h.section[sectionTrancheWords], h.section[sectionTrancheNames] = section{}, section{}
		},
		"a section of the future": func(h *segmentHeader) {
			d := &h.section[sectionData]
			d.length -= areaAlign
			h.section[15] = section{offset: d.offset + d.length, length: areaAlign, stride: 5, count: 3}
		},
	} {
		h := newSegmentHeader("main", MinSize, 1)
		change(&h)
		fixChecksum(h.bytes()[:])
		add(vector{why: name, kind: "segment", size: MinSize, content: h.bytes()[:], accept: true})
	}
	areaVectors(add)
}

// areaVectors are segments with two areas, whole and damaged.
func areaVectors(add func(vector)) {
	const words, records = headerRoom, headerRoom + 8*MaxAreas
	h := newSegmentHeader("main", MinSize, 1)
	data := h.section[sectionData]
	make2 := func() []byte {
		b := append(h.bytes()[:], make([]byte, records+64*3-headerSize)...)
		b = append([]byte{}, b...)
		binary.LittleEndian.PutUint32(b[stateOffset:], 3)
		for i, a := range []vectorArea{{"one", 100, data.offset}, {"lost", 8, data.offset + 128}, {"two", 300, data.offset + 128}} {
			copy(b[records+64*i:], a.name)
			binary.LittleEndian.PutUint64(b[records+64*i+48:], uint64(a.size))
			binary.LittleEndian.PutUint64(b[records+64*i+56:], a.offset)
		}
		binary.LittleEndian.PutUint64(b[words:], 1)
		binary.LittleEndian.PutUint64(b[words+8:], 3) // the second record was taken by one who died
		return b
	}
	one, two := vectorArea{"one", 100, data.offset}, vectorArea{"two", 300, data.offset + 128}
	add(vector{why: "two areas", kind: "segment", size: MinSize, content: make2(), accept: true,
		areas: []vectorArea{one, two, {"two", 299, 0}, {"three", MinSize, 0}}})
	for name, put := range map[string][2]uint64{
		"word out of bounds":      {words + 8, areaRecords + 1},
		"huge word":               {words + 8, 1<<64 - 1},
		"area that overlaps":      {records + 128 + 56, data.offset},
		"area outside":            {records + 128 + 48, MinSize},
		"area of no bytes":        {records + 128 + 48, 0},
		"area without a name":     {records + 128, 0},
		"area without an end":     {records + 128 + 40, 1 << 56},
		"area twice at one place": {words + 8, 1},
	} {
		b := make2()
		binary.LittleEndian.PutUint64(b[put[0]:], put[1])
		add(vector{why: name, kind: "segment", size: MinSize, content: b, accept: true, areas: []vectorArea{one, {"two", 300, 0}, {"three", 1, 0}}})
	}
}

func slotsVectors(add func(vector)) {
	good := newSlotsHeader()
	add(vector{why: "new", kind: "slots", size: slotsSize, content: good.bytes()[:], accept: true})
	for name, bad := range map[string]struct {
		change func(h *slotsHeader)
		size   int64
	}{
		"segment":         {func(h *slotsHeader) { h.magic = segmentMagic }, slotsSize},
		"next major":      {func(h *slotsHeader) { h.major++ }, slotsSize},
		"unknown feature": {func(h *slotsHeader) { h.features = 1 << 63 }, slotsSize},
		"larger entries":  {func(h *slotsHeader) { h.entry = 1024 }, slotsSize},
		"no entries":      {func(h *slotsHeader) { h.count = 0 }, slotsSize},
		"too many":        {func(h *slotsHeader) { h.count = MaxSlots + 1 }, slotsSize},
		"short":           {func(*slotsHeader) {}, slotsSize - 1},
		"header only":     {func(*slotsHeader) {}, headerSize},
	} {
		h := newSlotsHeader()
		bad.change(&h)
		fixChecksum(h.bytes()[:])
		add(vector{why: name, kind: "slots", size: bad.size, content: h.bytes()[:]})
	}
	h := newSlotsHeader()
	h.checksum++
	add(vector{why: "wrong checksum", kind: "slots", size: slotsSize, content: h.bytes()[:]})
}

// objectVectors are what lies in areas: as it is made, and with each part of
// its header changed.
func objectVectors(t *testing.T, add func(vector)) {
	p := newTestParty(t, 1)
	for _, o := range []struct {
		kind   string
		sizes  []int
		create func([]byte) error
		size   int // offset of its size's word
		flags  int // of its features
	}{
		{"queue", []int{64, 128, 4095, 4096}, func(b []byte) error { _, err := p.createQueue(b); return err }, 8, 36},
		{"lock", []int{48, 100, 20000}, func(b []byte) error { _, err := p.createLock(b); return err }, 8, 12},
		{"condition", []int{48, 100, 20000}, func(b []byte) error { _, err := p.createCondition(b); return err }, 8, 12},
		{"barrier", []int{80, 200, 20000}, func(b []byte) error { _, err := p.createBarrier(b, 3); return err }, 8, 12},
		{"toc", []int{32, 100}, func(b []byte) error { _, err := CreateTOC(7, b); return err }, 16, -1},
	} {
		made := func(size int) vector {
			b := make([]byte, size)
			if err := o.create(b); err != nil {
				t.Fatal(err)
			}
			return vector{kind: o.kind, size: int64(size), key: 7, content: b}
		}
		for _, size := range o.sizes {
			v := made(size)
			v.why, v.accept = fmt.Sprintf("of %d bytes", size), true
			add(v)
		}
		for name, change := range map[string]func(v *vector){
			"zeros":           func(v *vector) { v.content = nil },
			"another magic":   func(v *vector) { v.content[map[bool]int{true: 8}[o.kind == "toc"]]++ },
			"larger":          func(v *vector) { v.content[o.size] += 8 },
			"huge":            func(v *vector) { v.content[o.size+3] = 0xff },
			"another length":  func(v *vector) { v.size += 64 },
			"too short":       func(v *vector) { v.size = 24; v.content = v.content[:24] },
			"unknown feature": func(v *vector) { v.content[max(0, o.flags)] |= 1 },
		} {
			if v := made(o.sizes[1]); name != "unknown feature" || o.flags >= 0 {
				v.why = name
				change(&v)
				add(v)
			}
		}
	}
	v := make([]byte, 200)
	if _, err := p.createBarrier(v, 0); err != nil {
		t.Fatal(err)
	}
	v[barrierHeaderSize]++
	add(vector{why: "no condition variable in it", kind: "barrier", size: 200, content: v})
}
