package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// replaceServerFile puts text in place of old, which is what the file must still hold, in one step: whoever reads the
// file finds one of the two. Owner, group and mode stay. The old file is kept beside it, under its name, ".pg-bgw." and
// the stamp; restore puts it back.
func replaceServerFile(path, old, text, stamp string) (restore func() error, err error) {
	path, err = filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	backup := path + ".pg-bgw." + stamp
	err = writeLike(backup, old, info)
	for n := 2; errors.Is(err, fs.ErrExist) && n < 100; n++ {
		backup = fmt.Sprintf("%s.pg-bgw.%s-%d", path, stamp, n)
		err = writeLike(backup, old, info)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot keep the old one: %w", err)
	}
	fresh := path + ".pg-bgw.new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a run that was killed
		return nil, err
	}
	if err := writeLike(fresh, text, info); err != nil {
		return nil, errors.Join(err, os.Remove(backup))
	}
	now, err := os.ReadFile(path)
	if err == nil && string(now) != old {
		err = errors.New("somebody else has changed it meanwhile; try again")
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(fresh), os.Remove(backup))
	}
	return func() error { return os.Rename(backup, path) }, nil
}

// writeLike makes a new file with the owner, group and mode of another.
func writeLike(path, text string, like os.FileInfo) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if st, ok := like.Sys().(*syscall.Stat_t); ok && (int(st.Uid) != os.Geteuid() || int(st.Gid) != os.Getegid()) {
		err = f.Chown(int(st.Uid), int(st.Gid))
	}
	if err == nil {
		err = f.Chmod(like.Mode().Perm())
	}
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
