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
	if err := replaceSettings(f, data); err != nil {
		return fmt.Errorf("cannot write the modules' settings: %w", err)
	}
	return nil
}

func replaceSettings(f *os.File, data []byte) error {
	old := make([]byte, len(data))
	if n, _ := f.ReadAt(old, 0); n == len(data) && bytes.Equal(old, data) {
		return nil
	}
	if err := f.Truncate(settingsSize); err != nil { // a map beyond the end of a file is a trap
		return err
	}
	_, err := f.WriteAt(data, 0)
	return err
}
