package main

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTerminalWidth looks at a real terminal, and at what is none.
func TestTerminalWidth(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("needs /dev/ptmx: %v", err)
		}
		t.Skipf("needs /dev/ptmx: %v", err)
	}
	defer terminal.Close()
	none := func(string) string { return "" }
	for _, c := range []struct {
		set  uint16
		want int
	}{{0, 80}, {57, 57}} {
		if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: c.set, Row: 24}); err != nil {
			t.Fatal(err)
		}
		if s := screenOf(terminal, none); s.width != c.want || !s.color {
			t.Errorf("a terminal of %d columns: %+v, want width %d and colours", c.set, s, c.want)
		}
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if s := screenOf(file, none); s != (screen{}) {
		t.Errorf("/dev/null is a screen: %+v", s)
	}
}
