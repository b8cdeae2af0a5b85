package control

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// damaged is a good record made a bad one, of the right length.
func damaged(t *testing.T, r Record, change func(b []byte) []byte) []byte {
	t.Helper()
	b, err := r.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	b = change(b)
	if len(b) >= 4 {
		le.PutUint32(b, uint32(len(b)))
	}
	return b
}

func put32(at int, v uint32) func([]byte) []byte {
	return func(b []byte) []byte { le.PutUint32(b[at:], v); return b }
}

func put16(at int, v uint16) func([]byte) []byte {
	return func(b []byte) []byte { le.PutUint16(b[at:], v); return b }
}

func TestDecodeRefuses(t *testing.T) {
	hello := vectors["hello"]
	register := func(p ...Pair) Record { return Record{Type: Register, ID: 1, Pairs: p} }
	one := register(Pair{"K", []string{"a"}})
	// In a Register with one pair of a key of one byte: flags at 16, count at
	// 24, key length at 26, key at 28, kind at 29, value at 30.
	tests := map[string]struct {
		record Record
		change func(b []byte) []byte
		want   string
	}{
		"empty":            {hello, func(b []byte) []byte { return nil }, "0 bytes"},
		"half a header":    {hello, func(b []byte) []byte { return b[:15] }, "15 bytes"},
		"too long":         {hello, func(b []byte) []byte { return append(b, make([]byte, MaxRecord)...) }, "65536 are allowed"},
		"left over":        {hello, func(b []byte) []byte { return append(b, 0) }, "1 bytes are left over"},
		"cut text":         {hello, func(b []byte) []byte { return b[:len(b)-1] }, "a length says 12"},
		"huge text":        {hello, put32(16, 1<<32-1), "a length says 4294967295"},
		"not UTF-8":        {hello, func(b []byte) []byte { b[20] = 0xff; return b }, "not UTF-8"},
		"NUL":              {hello, func(b []byte) []byte { b[20] = 0; return b }, "not UTF-8"},
		"request id 0":     {hello, func(b []byte) []byte { le.PutUint64(b[8:], 0); return b }, "request id is 0"},
		"event with id":    {vectors["worker-state-changed"], put16(8, 1), "request id is 1"},
		"positive status":  {vectors["attach-answer"], put32(16, 5), "status is 5"},
		"status too low":   {vectors["attach-answer"], put32(16, 1<<31), "status is -2147483648"},
		"no handle":        {vectors["getpid"], func(b []byte) []byte { return b[:27] }, "8 bytes are wanted where 7"},
		"attach with body": {vectors["attach"], func(b []byte) []byte { return append(b, 1, 2) }, "2 bytes are left over"},
		"key twice":        {register(Pair{"K", "a"}, Pair{"L", "a"}), func(b []byte) []byte { b[37] = 'K'; return b }, `key "K" is there twice`},
		"key of 0 bytes":   {one, put16(26, 0), "a key has 0 bytes"},
		"key of 65 bytes":  {one, put16(26, 65), "a key has 65 bytes"},
		"key not there":    {one, put16(26, 60), "60 bytes are wanted"},
		"kind 0":           {one, func(b []byte) []byte { b[29] = 0; return b }, "unknown kind 0"},
		"kind 6":           {one, func(b []byte) []byte { b[29] = 6; return b }, "unknown kind 6"},
		"65 pairs":         {one, put16(24, 65), "65 pairs"},
		"missing pair":     {one, put16(24, 2), "2 bytes are wanted where 0"},
		"list not there":   {one, put16(30, 1024), "a list of 1024"},
		"list too long":    {one, put16(30, 1025), "a list of 1025"},
		"bytes not there":  {register(Pair{"K", []byte{1}}), put32(30, 2), "a length says 2"},
		"found neither":    {vectors["dynamic-attach-answer"], put32(32, 2), "2 stands where 0 or 1"},
		"done neither":     {vectors["dynamic-ready"], put32(20, 1<<31), "2147483648 stands where 0 or 1"},
		"nameless dynamic": {Record{Type: DynamicNamed, ID: 1, Size: 1, Text: "a"}, func(b []byte) []byte { return append(b[:24], 0, 0, 0, 0) }, "the name has 0 bytes"},
		"dynamic of 64 bytes": {Record{Type: DynamicNamed, ID: 1, Size: 1, Text: strings.Repeat("n", 63)},
			func(b []byte) []byte { b[24] = 64; return append(b, 'n') }, "the name has 64 bytes"},
		"no size":       {vectors["dynamic-create"], func(b []byte) []byte { return b[:20] }, "8 bytes are wanted where 4"},
		"int not there": {register(Pair{"K", int64(1)}), func(b []byte) []byte { return b[:37] }, "8 bytes are wanted"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := damaged(t, test.record, test.change)
			var r Record
			err := r.Decode(b)
			if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want ErrMalformed with %q", err, test.want)
			}
			if len(b) < 1000 {
				compareBad(t, name, b)
			}
		})
	}
}

// compareBad keeps a bad record as a vector that all libraries have to refuse.
func compareBad(t *testing.T, name string, b []byte) {
	t.Helper()
	path := filepath.Join("testdata", "bad", strings.ReplaceAll(name, " ", "-")+".hex")
	if *update {
		if err := os.WriteFile(path, []byte("# "+name+"\n"+lines(b)), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if want := readHex(t, path); !bytes.Equal(b, want) {
		t.Errorf("it is:\n%s\n%s has:\n%s", lines(b), path, lines(want))
	}
}

func TestDecodeLengthField(t *testing.T) {
	b, err := (&Record{Type: Attach, ID: 1}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint32{0, 15, 17, 1<<32 - 1} {
		le.PutUint32(b, n)
		var r Record
		if err := r.Decode(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("length %d: got error %v", n, err)
		}
	}
}

func TestDecodeUnknown(t *testing.T) {
	hello := vectors["hello"]
	var r Record
	var version *VersionError
	err := r.Decode(damaged(t, hello, put16(4, 2)))
	if !errors.As(err, &version) || version.Version != 2 || r.Type != Hello || r.ID != 1 {
		t.Errorf("version 2: got %v with type %v, id %d", err, r.Type, r.ID)
	}
	for _, typ := range []Type{0, 0x77, 0x3fff, DynamicReady + 1, Type(0x77).Answer()} {
		var unknown *UnknownTypeError
		b := damaged(t, vectors["attach-answer"], put16(6, uint16(typ)))
		err := r.Decode(b)
		if !errors.As(err, &unknown) || unknown.Type != typ || r.Type != typ || r.ID != 2 {
			t.Errorf("type %v: got %v with type %v, id %d", typ, err, r.Type, r.ID)
		}
		if errors.Is(err, ErrMalformed) {
			t.Errorf("type %v counts as malformed", typ)
		}
	}
	refused := r.Refuse(syscall.ENOSYS, "no")
	if _, err := refused.Append(nil); err != nil {
		t.Errorf("an unknown type cannot be refused: %v", err)
	}
}

func TestAppendRefuses(t *testing.T) {
	pairs := make([]Pair, MaxPairs+1)
	for i := range pairs {
		pairs[i] = Pair{fmt.Sprint(i), "x"}
	}
	tests := map[string]Record{
		"type 0":           {ID: 1},
		"unknown type":     {Type: 99, ID: 1},
		"no id":            {Type: Attach},
		"event with id":    {Type: WorkerStateChanged, ID: 1},
		"not UTF-8":        {Type: Ready, ID: 1, Text: "\xff"},
		"NUL":              {Type: Ready, ID: 1, Text: "a\x00"},
		"too long":         {Type: Ready, ID: 1, Text: strings.Repeat("x", MaxRecord)},
		"just too long":    {Type: Ready, ID: 1, Text: strings.Repeat("x", MaxRecord-HeaderSize-3)},
		"errno":            {Type: Attach.Answer(), ID: 1, Errno: 4096},
		"pairs":            {Type: Register, ID: 1, Pairs: pairs},
		"key":              {Type: Register, ID: 1, Pairs: []Pair{{"", "x"}}},
		"long key":         {Type: Register, ID: 1, Pairs: []Pair{{strings.Repeat("k", MaxKey+1), "x"}}},
		"doubled key":      {Type: Register, ID: 1, Pairs: []Pair{{"k", "x"}, {"k", "y"}}},
		"value of int":     {Type: Register, ID: 1, Pairs: []Pair{{"k", 1}}},
		"value of nothing": {Type: Register, ID: 1, Pairs: []Pair{{"k", nil}}},
		"list":             {Type: Register, ID: 1, Pairs: []Pair{{"k", make([]string, MaxList+1)}}},
	}
	for name, r := range tests {
		before := []byte("before")
		if b, err := r.Append(before); err == nil || string(b) != "before" {
			t.Errorf("%s: got %q and error %v", name, b, err)
		}
	}
	fits := Record{Type: Ready, ID: 1, Text: strings.Repeat("x", MaxRecord-HeaderSize-4)}
	if b, err := fits.Append(nil); err != nil || len(b) != MaxRecord {
		t.Errorf("the longest record has %d bytes and error %v", len(b), err)
	}
}

// TestReasonIsMended holds that a refusal can be sent whatever its reason is.
func TestReasonIsMended(t *testing.T) {
	for _, text := range []string{
		"\xff\xfe", "a\x00b", strings.Repeat("ü", maxReason), "x" + strings.Repeat("ü", maxReason), strings.Repeat("\xff", MaxRecord),
	} {
		r := (&Record{Type: Attach, ID: 1}).Refuse(syscall.EPERM, text)
		b, err := r.Append(nil)
		if err != nil {
			t.Errorf("%.10q: %v", text, err)
			continue
		}
		var back Record
		if err := back.Decode(b); err != nil || back.Errno != syscall.EPERM || back.Text == "" {
			t.Errorf("%.10q: decoded %+v, error %v", text, back, err)
		}
	}
}

func TestTypeString(t *testing.T) {
	for typ, want := range map[Type]string{
		Hello: "Hello", Latch.Answer(): "answer to Latch", WorkerStateChanged: "WorkerStateChanged", DynamicReady: "DynamicReady",
		0: "type 0x0000", 0x77: "type 0x0077",
	} {
		if got := typ.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range vectors {
		b, err := r.Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
		if r.Decode(b) != nil {
			return
		}
		again, err := r.Append(nil)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		// A reason is mended as it is written, everything else is canonical.
		if !bytes.Equal(again, b) && !(r.Errno != 0 || r.Type.IsEvent()) {
			t.Fatalf("decoded and encoded again it differs:\n%s%s", lines(b), lines(again))
		}
	})
}

func BenchmarkAppendRegister(b *testing.B) {
	r := registerVector()
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Append(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeRegister(b *testing.B) {
	v := registerVector()
	data, err := v.Append(nil)
	if err != nil {
		b.Fatal(err)
	}
	var r Record
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAllocations: the records that come often cost nothing.
func TestAllocations(t *testing.T) {
	buf := make([]byte, 0, 4096)
	for _, name := range []string{"attach", "attach-answer", "getpid", "getpid-answer", "waitstartup", "terminate", "latch"} {
		r := vectors[name]
		var back Record
		if n := testing.AllocsPerRun(100, func() {
			b, err := r.Append(buf)
			if err == nil {
				err = back.Decode(b)
			}
			if err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
