package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pg-bgw/pg-bgw/shm"
	"golang.org/x/sys/unix"
)

// TestModuleRegionOnce: launchers that begin in a segment at the same moment, as
// when one is replaced while it is still loading, make what modules share once.
func TestModuleRegionOnce(t *testing.T) {
	needModules(t)
	program := filepath.Join(t.TempDir(), "region")
	mustRun(t, "cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-I../../contrib/libpgbgw/pg", "-rdynamic",
		"-o", program, "testdata/host/region.c", "-ldl", "-lpthread")
	segment, err := shm.Create("main", 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer segment.Close()
	fd, err := unix.FcntlInt(uintptr(segment.Fd()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	passed := os.NewFile(uintptr(fd), "segment")
	defer passed.Close()
	c := exec.CommandContext(t.Context(), program, filepath.Join(programs, fmt.Sprintf("libpgbgw-pg%d.so", release(t))))
	c.ExtraFiles = []*os.File{passed}
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
