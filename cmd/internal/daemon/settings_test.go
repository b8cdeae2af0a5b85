package daemon

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/shm"
	"github.com/pg-bgw/pg-bgw/units/config"
)

// TestApplyNothing: a configuration that cannot hold in one part changes none.
func TestApplyNothing(t *testing.T) {
	conf := func(slots int, level string) *config.Config {
		c := &config.Config{}
		c.Settings.MaxWorkerProcesses, c.Settings.Parameters = slots, map[string]string{"a.level": level}
		return c
	}
	d := &Daemon{opts: Options{RuntimeDir: t.TempDir()}}
	d.modules = newModules(d)
	old := conf(8, "old")
	d.current.Store(old)
	var err error
	if d.slots, err = shm.CreateSlots(8); err != nil {
		t.Fatal(err)
	}
	defer d.slots.Close()
	if err := d.modules.writeSettings(old); err != nil {
		t.Fatal(err)
	}
	// state is all that a reload has changed by then.
	state := func() string {
		head := make([]byte, 8192)
		if _, err := d.slots.ReadOnlyFile().ReadAt(head, 0); err != nil {
			t.Fatal(err)
		}
		text, _ := os.ReadFile(d.modules.settingsPath())
		return string(head) + string(text)
	}
	fails := func(what string, c *config.Config) {
		t.Helper()
		before := state()
		if _, err := d.apply(c); err == nil {
			t.Errorf("%s: it was applied", what)
		}
		if state() != before || d.config() != old {
			t.Errorf("%s: the reload failed, and something of it holds", what)
		}
	}
	fails("too many slots", conf(shm.MaxSlots+1, "new"))
	if err := errors.Join(os.Rename(d.modules.settingsPath(), filepath.Join(d.opts.RuntimeDir, "kept")), os.Mkdir(d.modules.settingsPath(), 0o700)); err != nil {
		t.Fatal(err)
	}
	fails("settings that cannot be written", conf(16, "new"))
}

// fullFile is a file on a disk that has room for so many bytes more.
type fullFile struct {
	data []byte
	room int
}

func (f *fullFile) ReadAt(b []byte, at int64) (int, error) {
	if n := copy(b, f.data[min(int(at), len(f.data)):]); n < len(b) {
		return n, io.EOF
	}
	return len(b), nil
}

func (f *fullFile) WriteAt(b []byte, at int64) (int, error) {
	n := min(len(b), max(0, len(f.data)+f.room-int(at)))
	f.room -= max(0, int(at)+n-len(f.data))
	f.data = append(f.data[:at], append(bytes.Clone(b[:n]), f.data[min(int(at)+n, len(f.data)):]...)...)
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

// TestSettingsOnAFullDisk: what cannot be written whole leaves what was there.
func TestSettingsOnAFullDisk(t *testing.T) {
	old := settingsFile("a.level=old\x00")
	f := &fullFile{room: len(old) + 3}
	if err := replaceSettings(f, old); err != nil {
		t.Fatal(err)
	}
	if err := replaceSettings(f, settingsFile("a.level=a new one, and longer\x00")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("it says %v", err)
	}
	if !bytes.HasPrefix(f.data, old) {
		t.Errorf("there is %q", f.data)
	}
}
