package daemon

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pg-bgw/pg-bgw/units/config"
	"golang.org/x/sys/unix"
)

// The file of the modules' parameters: a head, the length of the text and its
// FNV-1a of 64 bits, and the text (contrib/libpgbgw/pg/host.h). Launchers map it
// whole, and their workers inherit the map: a worker of another user could
// not open it, and a file that took its place would not be seen.
const (
	settingsHead = 16
	settingsSize = 1 << 20
)

// settingsPath is where the modules' parameters are for them to read.
func (m *modules) settingsPath() string {
	return filepath.Join(m.daemon.opts.RuntimeDir, "settings")
}

// settingsText is what the file of the settings holds.
func settingsText(values map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(values)) {
		b.WriteString(name + "=" + values[name] + "\x00")
	}
	return b.String()
}

func settingsFile(text string) []byte {
	h := fnv.New64a()
	_, _ = io.WriteString(h, text)
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(binary.LittleEndian.AppendUint64(b, h.Sum64()), text...)
}

// writeSettings gives modules the parameters that c has. Who reads while it writes finds
// that the sum is another one, and reads again.
func (m *modules) writeSettings(c *config.Config) error {
	data := settingsFile(settingsText(c.Settings.Parameters))
	if len(data) > settingsSize {
		return fmt.Errorf("cannot write the modules' settings: they have %d bytes, and %d is the most", len(data)-settingsHead, settingsSize-settingsHead)
	}
	f, err := os.OpenFile(m.settingsPath(), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o640)
	if err != nil {
		return fmt.Errorf("cannot write the modules' settings: %w", err)
	}
	defer f.Close()
	err = f.Truncate(settingsSize) // a map beyond the end of a file is a trap
	if err == nil {
		err = replaceSettings(f, data)
	}
	if err != nil {
		return fmt.Errorf("cannot write the modules' settings: %w", err)
	}
	return nil
}

// replaceSettings writes data over what f has, or leaves that.
func replaceSettings(f interface {
	io.ReaderAt
	io.WriterAt
}, data []byte) error {
	old := make([]byte, len(data))
	n, _ := f.ReadAt(old, 0)
	if bytes.Equal(old[:n], data) {
		return nil
	}
	written, err := f.WriteAt(data, 0)
	if err != nil {
		_, _ = f.WriteAt(old[:min(n, written)], 0) // where there was room a moment ago
	}
	return err
}
