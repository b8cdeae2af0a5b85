package launch

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// output starts a worker with a pipe as stdout, and returns what it wrote and how it ended.
func (r *rig) output(s Spec) (string, Exit) {
	r.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	defer read.Close()
	s.Files = append([]int{-1, int(write.Fd()), int(write.Fd())}, s.Files...)
	_, exits := r.start(s)
	write.Close()
	e := <-exits
	// Everything that held the pipe is gone, so what there is can be read without waiting.
	var b [1 << 16]byte
	n, _ := unix.Read(int(read.Fd()), b[:])
	return string(b[:max(n, 0)]), e
}

// readNow reads without waiting: 0 and nil once nobody holds the other end.
func readNow(t testing.TB, f *os.File) (n int, err error) {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Read(func(fd uintptr) bool {
		n, err = unix.Read(int(fd), make([]byte, 64))
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return n, err
}

// descriptors returns what the open descriptors refer to, sorted; their numbers do not matter.
func descriptors(t testing.TB) string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range entries {
		// What is below /proc is open for a moment, here or for a look at the process table.
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(target, "/proc") {
			lines = append(lines, target)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// eventually runs one worker after the other until cond holds; the test's timeout is the limit.
func (r *rig) eventually(cond func() bool) {
	r.t.Helper()
	for !cond() {
		_, exits := r.start(spec("exit 0"))
		<-exits
	}
}

// zombies returns how many dead children this process has.
func zombies() (n int) {
	for _, p := range readProcs() {
		if p.ppid == os.Getpid() && p.zombie {
			n++
		}
	}
	return n
}

func TestDescriptors(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		// Sources that collide with targets, and one twice.
		var fds []int
		for i := range 12 {
			fd, err := unix.MemfdCreate("f"+string(rune('a'+i)), unix.MFD_CLOEXEC)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			fds = append(fds, fd)
		}
		s := spec("")
		s.Argv = []string{"/bin/ls", "-l", "/proc/self/fd/"}
		s.Files = []int{fds[11], fds[0], -1, fds[0], fds[5]} // 3, 4, ...
		out, e := r.output(s)
		if e.Status != 0 {
			t.Fatalf("ls: %v: %s", e.Status, out)
		}
		want := map[string]string{"0": "/dev/null", "3": "/memfd:fl (deleted)", "4": "/memfd:fa (deleted)", "5": "/dev/null", "6": "/memfd:fa (deleted)", "7": "/memfd:ff (deleted)"}
		n := 0
		for line := range strings.Lines(out) {
			link, target, ok := strings.Cut(strings.TrimSpace(line), " -> ")
			if !ok {
				continue
			}
			n++
			fd := link[strings.LastIndex(link, " ")+1:]
			if w, ok := want[fd]; ok && w != target {
				t.Errorf("descriptor %s is %s, want %s", fd, target, w)
			}
		}
		if n != 9 { // 0 to 7, and the directory that ls reads
			t.Errorf("%d descriptors, want 9:\n%s", n, out)
		}
	})
}

func TestThousandStartsLeaveNothing(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		_, exits := r.start(spec("exit 0")) // opens what is opened once
		<-exits
		before := descriptors(t)
		for range 50 {
			var ends []<-chan Exit
			for range 20 {
				s := spec("")
				s.Argv = []string{"/bin/true"}
				_, exits := r.start(s)
				ends = append(ends, exits)
			}
			for _, exits := range ends {
				if e := <-exits; e.Status != 0 {
					t.Fatalf("status %v", e.Status)
				}
			}
		}
		if after := descriptors(t); after != before {
			t.Errorf("descriptors before:\n%s\nafter:\n%s", before, after)
		}
		if n := zombies(); n != 0 {
			t.Errorf("%d zombies", n)
		}
		r.noCgroups()
	})
}

// noCgroups fails the test if a worker's cgroup is left.
func (r *rig) noCgroups() {
	r.t.Helper()
	if r.cgroups == nil {
		return
	}
	entries, err := os.ReadDir(r.cgroups.root)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			r.t.Errorf("cgroup %s is left", e.Name())
		}
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
