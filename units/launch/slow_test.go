package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A program on a file system that does not answer delays no other start, and its
// start can be canceled.
func TestSlowExec(t *testing.T) {
	if os.Getuid() != 0 {
		lacking(t, "root, to mount a file system")
	}
	fuse, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("needs /dev/fuse: %v", err)
	}
	defer unix.Close(fuse)
	dir := t.TempDir()
	// Nobody reads from the descriptor, so every access waits for ever.
	if err := unix.Mount("x", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse)); err != nil {
		t.Skipf("needs to mount a FUSE file system: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	both(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		const n = 20 // more than may share the launcher's memory
		failed := make(chan error, n)
		for range n {
			s := spec("")
			s.Argv = []string{dir + "/program"}
			go func() {
				_, err := r.Start(ctx, s, func(Exit) { t.Error("exited called") })
				failed <- err
			}()
		}
		for range 20 {
			_, exits := r.start(spec("exit 0"))
			<-exits
		}
		select {
		case err := <-failed:
			t.Fatalf("the slow one ended: %v", err)
		default:
		}
		if n := threadsOf(t, r.launcherPid()); n != 1 {
			t.Errorf("the launcher has %d threads", n)
		}
		cancel()
		for range n {
			if err := <-failed; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}
		for range 40 { // in memory that was let go
			_, exits := r.start(spec("exit 0"))
			<-exits
		}
		if n := zombies(); n != 0 {
			t.Errorf("%d zombies", n)
		}
		r.noCgroups()
	})
}

// threadsOf returns how many threads a process has.
func threadsOf(t *testing.T, pid int) int {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}
