package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// now is when the golden files were written, as far as they know.
var now = time.Date(2026, 11, 22, 8, 21, 31, 0, time.UTC)

// goldenWorkers are those of the scripts, as of now, and one with long texts.
func goldenWorkers(t *testing.T) workers {
	t.Helper()
	text, err := os.ReadFile("testdata/workers.json")
	if err != nil {
		t.Fatal(err)
	}
	var fs []fixture
	if err := json.Unmarshal(text, &fs); err != nil {
		t.Fatal(err)
	}
	var ws workers
	for _, f := range fs {
		w := f.WorkerInfo
		w.Changed.Realtime = uint64(now.Add(-time.Duration(f.Age) * time.Second).UnixMicro())
		if f.NextIn != 0 {
			w.NextStart = uint64(now.Add(time.Duration(f.NextIn) * time.Second).UnixMicro())
		}
		ws = append(ws, w)
	}
	long := ws[0]
	long.Handle = handle{Slot: 16383, Generation: 7<<32 | 12}
	long.Label, long.MainPID, long.Restarts = "a-worker-with-a-label-as-long-as-labels-may-ever-get-in-pg-bgw", 4194304, 1<<32
	long.Definition.Name, long.Definition.Segment = "漢字かな交じり文の名前", "another-segment"
	long.Reason = "its server is in recovery, and the worker starts at recovery_finished only"
	return append(ws, long)
}

func TestListFitsTheScreen(t *testing.T) {
	ws := goldenWorkers(t)
	for _, width := range []int{0, 1, 20, 40, 80, 200} {
		var out bytes.Buffer
		a := &app{out: &out, json: "off", screen: screen{width: width, unicode: true}}
		if err := a.list(ws, true, now); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			// 40 is where handles, which are never cut, still fit.
			if n := columns(strings.TrimSuffix(line, "\n")); width >= 40 && n > width {
				t.Errorf("width %d: a line of %d columns: %s", width, n, line)
			}
		}
		if !strings.Contains(out.String(), "16383.30064771084") {
			t.Errorf("width %d: a handle was cut", width)
		}
		golden(t, fmt.Sprintf("list-%d.txt", width), out.String())
	}
}

func TestStatusBlocks(t *testing.T) {
	for _, width := range []int{0, 40, 80} {
		var b strings.Builder
		a := &app{json: "off", screen: screen{width: width, unicode: true}}
		for _, w := range goldenWorkers(t) {
			b.WriteString(a.workerBlock(&w, now) + "\n")
		}
		for line := range strings.Lines(b.String()) {
			whole := strings.Contains(line, "Logs: ") || strings.Contains(line, "Handle: ") // of no use in part
			if n := columns(strings.TrimSuffix(line, "\n")); width > 0 && n > width && !whole {
				t.Errorf("width %d: a line of %d columns: %s", width, n, line)
			}
		}
		golden(t, fmt.Sprintf("status-%d.txt", width), b.String())
	}
}

// TestColourIsPlainTextBesides: colours change no column.
func TestColourIsPlainTextBesides(t *testing.T) {
	for _, width := range []int{10, 18, 20, 40, 80} {
		t.Run(fmt.Sprint(width), func(t *testing.T) { colourIsPlainTextBesides(t, width) })
	}
}

func colourIsPlainTextBesides(t *testing.T, width int) {
	ws := goldenWorkers(t)
	var plain, painted bytes.Buffer
	for _, c := range []struct {
		out   *bytes.Buffer
		color bool
	}{{&plain, false}, {&painted, true}} {
		a := &app{out: c.out, json: "off", screen: screen{width: width, unicode: true, color: c.color}}
		if err := a.list(ws, true, now); err != nil {
			t.Fatal(err)
		}
		for _, w := range ws {
			c.out.WriteString(a.workerBlock(&w, now))
		}
	}
	got := painted.String()
	for _, st := range []style{good, waiting, bad, dim} {
		got = strings.ReplaceAll(got, "\x1b["+string(st)+"m", "")
	}
	got = strings.ReplaceAll(got, "\x1b[0m", "")
	if got != plain.String() {
		t.Errorf("without its colours it is\n%s\nwant\n%s", got, plain.String())
	}
}

// TestJSONEscapes: what JSON lets pass but a terminal obeys is escaped, and reads back the same.
func TestJSONEscapes(t *testing.T) {
	in := "\x1b\u009b\u202e\U000e0041<&>\u2028ä"
	var out bytes.Buffer
	a := &app{out: &out, json: "short"}
	if err := a.writeJSON([]string{in}); err != nil {
		t.Fatal(err)
	}
	want := `["\u001b\u009b\u202e\udb40\udc41<&>\u2028ä"]` + "\n"
	if out.String() != want {
		t.Errorf("got %s want %s", out.String(), want)
	}
	var back []string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back[0] != in {
		t.Errorf("read back: %q, %v", back, err)
	}
}
