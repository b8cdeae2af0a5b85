package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// nextEpoch counts the lives of the daemon in dir/epoch: it returns one more
// than was written there, after that has reached the disk, so that no handle
// of an earlier life ever matches. It starts at 1.
func nextEpoch(dir string) (uint32, error) {
	path := filepath.Join(dir, "epoch")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, fmt.Errorf("cannot make the state directory: %w", err)
	}
	last, err := readEpoch(path)
	if err != nil {
		return 0, err
	}
	if last == math.MaxUint32 {
		return 0, fmt.Errorf("cannot count another life in %s: the number is used up", path)
	}
	if err := replaceFile(dir, path, strconv.FormatUint(uint64(last)+1, 10)+"\n"); err != nil {
		return 0, fmt.Errorf("cannot write the epoch: %w", err)
	}
	return last + 1, nil
}

func readEpoch(path string) (uint32, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read the epoch: %w", err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("cannot read the epoch in %s: %q is not a number; "+
			"write one into it that is larger than any handle's upper half, or remove it when no client of an earlier life is left", path, text)
	}
	return uint32(n), nil
}

// replaceFile writes text to path so that a crash leaves either the old or the
// new content.
func replaceFile(dir, path, text string) error {
	f, err := os.CreateTemp(dir, ".epoch-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
