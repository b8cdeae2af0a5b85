package control

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

// vectors are the records that C and Python read as well: testdata/NAME.hex.
var vectors = map[string]Record{
	"hello":                 {Type: Hello, ID: 1, Text: "libpgbgw 1.0"},
	"hello-answer":          {Type: Hello.Answer(), ID: 1, Text: "pg-bgwd 1.0"},
	"attach":                {Type: Attach, ID: 2},
	"attach-answer":         {Type: Attach.Answer(), ID: 2},
	"attach-stale":          {Type: Attach.Answer(), ID: 2, Errno: syscall.ESTALE, Text: "segment \"main\" was renewed after a crash"},
	"detach":                {Type: Detach, ID: 3},
	"detach-answer":         {Type: Detach.Answer(), ID: 3},
	"ready":                 {Type: Ready, ID: 4, Text: "listening, größer"},
	"ready-empty":           {Type: Ready, ID: 4},
	"ready-answer":          {Type: Ready.Answer(), ID: 4},
	"register":              registerVector(),
	"register-none":         {Type: Register, ID: 6, Pairs: []Pair{}},
	"register-answer":       {Type: Register.Answer(), ID: 5, Handle: Handle{Slot: 3, Generation: 7<<32 | 17}},
	"register-refused":      {Type: Register.Answer(), ID: 5, Errno: syscall.EINVAL, Text: "RestartTime: -2 should be seconds or -1"},
	"getpid":                {Type: GetPid, ID: 7, Handle: Handle{Slot: 3, Generation: 17}},
	"getpid-answer":         {Type: GetPid.Answer(), ID: 7, Status: 0, Pid: 4711},
	"waitstartup":           {Type: WaitStartup, ID: 8, Handle: Handle{Slot: 3, Generation: 17}, TimeoutUSec: 20_000_000},
	"waitstartup-answer":    {Type: WaitStartup.Answer(), ID: 8, Status: 1, Pid: 0},
	"waitshutdown":          {Type: WaitShutdown, ID: 9, Handle: Handle{Slot: 16383, Generation: 1<<64 - 1}, TimeoutUSec: 1<<64 - 1},
	"waitshutdown-answer":   {Type: WaitShutdown.Answer(), ID: 9, Status: 2},
	"terminate":             {Type: Terminate, ID: 10, Handle: Handle{Slot: 3, Generation: 17}},
	"terminate-answer":      {Type: Terminate.Answer(), ID: 10},
	"latch":                 {Type: Latch, ID: 1<<64 - 1, Slot: 16383},
	"latch-answer":          {Type: Latch.Answer(), ID: 1<<64 - 1},
	"dynamic-create":        {Type: DynamicCreate, ID: 12, Size: 1 << 20},
	"dynamic-create-answer": {Type: DynamicCreate.Answer(), ID: 12, Segment: 0xfedcba98, Size: 1 << 20},
	"dynamic-create-quota":  {Type: DynamicCreate.Answer(), ID: 12, Errno: syscall.EDQUOT, Text: "no more than 704 dynamic segments"},
	"dynamic-attach":        {Type: DynamicAttach, ID: 13, Segment: 0xfedcba98},
	"dynamic-attach-answer": {Type: DynamicAttach.Answer(), ID: 13, Segment: 0xfedcba98, Size: 1<<20 - 1, Found: true},
	"dynamic-attach-gone":   {Type: DynamicAttach.Answer(), ID: 13, Errno: syscall.ENOENT, Text: "there is no dynamic segment 4"},
	"dynamic-detach":        {Type: DynamicDetach, ID: 14, Segment: 2},
	"dynamic-detach-answer": {Type: DynamicDetach.Answer(), ID: 14},
	"dynamic-pin":           {Type: DynamicPin, ID: 15, Segment: 2},
	"dynamic-pin-answer":    {Type: DynamicPin.Answer(), ID: 15},
	"dynamic-unpin":         {Type: DynamicUnpin, ID: 16, Segment: 2},
	"dynamic-unpin-answer":  {Type: DynamicUnpin.Answer(), ID: 16},
	"dynamic-named":         {Type: DynamicNamed, ID: 17, Size: 4096, Text: "größe"},
	"dynamic-named-answer":  {Type: DynamicNamed.Answer(), ID: 17, Segment: 2, Size: 4096},
	"dynamic-ready":         {Type: DynamicReady, ID: 18, Segment: 2, Done: true},
	"dynamic-ready-failed":  {Type: DynamicReady, ID: 18, Segment: 2},
	"dynamic-ready-answer":  {Type: DynamicReady.Answer(), ID: 18},
	"unknown-refused":       {Type: Type(0x0077).Answer(), ID: 11, Errno: syscall.ENOSYS, Text: "type 0x0077"},
	"worker-state-changed":  {Type: WorkerStateChanged, Handle: Handle{Slot: 3, Generation: 17}, Start: 2, State: 5, Status: 2, ExitCode: -1, ExitSignal: 9, Text: "was terminated by signal 9: killed"},
}

func registerVector() Record {
	return Record{Type: Register, ID: 5, Flags: RegisterSignal, Pairs: []Pair{
		{KeyName, "w"},
		{KeyFlags, []string{"shmem_access"}},
		{KeyRestartTime, int64(-1)},
		{KeyCommand, []string{"/bin/sleep", "1", ""}},
		{KeyMainArg, uint64(1<<64 - 1)},
		{KeyExtra, []byte{0, 1, 0xff}},
		{KeyEnvironment, []string{}},
	}}
}

func TestVectors(t *testing.T) {
	for name, record := range vectors {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".hex")
			got, err := record.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				text := fmt.Sprintf("# %s\n%s", describe(&record), lines(got))
				if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want := readHex(t, path)
			if !bytes.Equal(got, want) {
				t.Errorf("encoded:\n%s\n%s has:\n%s", lines(got), path, lines(want))
			}
			var back Record
			if err := back.Decode(want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(record, back, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
		})
	}
}

// TestVectorsAreAll keeps a file whose record is gone from staying.
func TestVectorsAreAll(t *testing.T) {
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := vectors[strings.TrimSuffix(filepath.Base(f), ".hex")]; !ok {
			t.Errorf("%s belongs to no record", f)
		}
	}
	seen := map[Type]bool{}
	for _, r := range vectors {
		seen[r.Type] = true
	}
	for typ := Hello; typ <= DynamicReady; typ++ {
		if !seen[typ] || !seen[typ.Answer()] {
			t.Errorf("%v or its answer has no vector", typ)
		}
	}
}

// describe is the record as one line of JSON: fields that are 0 are left out, a
// pair is key, kind and value, and bytes are in hexadecimal.
func describe(r *Record) string {
	d := struct {
		Type        Type
		Name        string
		ID          uint64
		Errno       int     `json:",omitempty"`
		Text        string  `json:",omitempty"`
		Handle      *Handle `json:",omitempty"`
		Slot        uint32  `json:",omitempty"`
		Segment     uint32  `json:",omitempty"`
		Size        uint64  `json:",omitempty"`
		Found       bool    `json:",omitempty"`
		Done        bool    `json:",omitempty"`
		TimeoutUSec uint64  `json:",omitempty"`
		Flags       uint64  `json:",omitempty"`
		Pairs       [][]any `json:",omitempty"`
		Start       uint64  `json:",omitempty"`
		State       uint32  `json:",omitempty"`
		Status      uint32  `json:",omitempty"`
		Pid         int32   `json:",omitempty"`
		ExitCode    int32   `json:",omitempty"`
		ExitSignal  int32   `json:",omitempty"`
	}{
		r.Type, r.Type.String(), r.ID, int(r.Errno), r.Text, nil, r.Slot,
		r.Segment, r.Size, r.Found, r.Done, r.TimeoutUSec, r.Flags, nil,
		r.Start, r.State, r.Status, r.Pid, r.ExitCode, r.ExitSignal,
	}
	if r.Handle != (Handle{}) {
		d.Handle = &r.Handle
	}
	for _, p := range r.Pairs {
		value, kind := p.Value, 0
		switch v := p.Value.(type) {
		case string:
			kind = kindText
		case uint64:
			kind = kindUint
		case int64:
			kind = kindInt
		case []byte:
			kind, value = kindBytes, hex.EncodeToString(v)
		case []string:
			kind = kindList
		}
		d.Pairs = append(d.Pairs, []any{p.Key, kind, value})
	}
	text, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func lines(b []byte) string {
	var s strings.Builder
	for ; len(b) > 16; b = b[16:] {
		fmt.Fprintf(&s, "% x\n", b[:16])
	}
	fmt.Fprintf(&s, "% x\n", b)
	return s.String()
}

func readHex(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			digits.WriteString(strings.Join(strings.Fields(line), ""))
		}
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return b
}
