package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

//go:embed c/*.c c/*.h
var sources embed.FS

// A lab is the scratch place of one run: its directories, the programs built
// from c/, the ledgers, and every process that the run has started.
type lab struct {
	dir    string // programs, service directories, sockets, clusters
	shm    string // the ledgers, on tmpfs where there is one
	books  []*ledger
	root   bool
	server *syscall.Credential // who runs PostgreSQL; nil: this user
	spawns []*spawned
	claim  *os.File // locked as long as this process lives
}

// newLab clears away what runs that were killed have left, makes the
// directories and builds the programs. Close it.
func newLab(ctx context.Context) (*lab, error) {
	b := &lab{root: os.Geteuid() == 0}
	err := errors.Join(clearDead(os.TempDir()), b.scratch())
	if err == nil {
		err = errors.Join(b.build(ctx), b.findServerUser())
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// seat gives a peer its place, with a new ledger.
func (b *lab) seat(name string) (seat, error) {
	l, err := newLedger(filepath.Join(b.shm, name+".ledger"))
	if err != nil {
		return seat{}, err
	}
	b.books = append(b.books, l)
	return seat{b, l}, nil
}

// scratch makes the directories, of one name, and claims them.
func (b *lab) scratch() error {
	var err error
	if b.dir, err = os.MkdirTemp(os.TempDir(), scratchPrefix); err != nil {
		return fmt.Errorf("cannot make a scratch directory: %w", err)
	}
	if b.claim, err = claim(b.dir); err != nil {
		return err
	}
	if b.shm = ledgersOf(b.dir); os.Mkdir(b.shm, 0o711) != nil {
		b.shm = b.dir
	}
	return errors.Join(os.Chmod(b.dir, 0o711), os.Chmod(b.shm, 0o711))
}

// build compiles what every run needs; the PostgreSQL extension is built by
// its peer, against that server's headers.
func (b *lab) build(ctx context.Context) error {
	if err := os.CopyFS(b.dir, sources); err != nil {
		return fmt.Errorf("cannot unpack the sources: %w", err)
	}
	bare := []string{"-DNO_LIBC", "-nostdlib", "-static", "-ffreestanding",
		"-fno-stack-protector", "-fno-pie", "-no-pie", "-Wl,--build-id=none"}
	return errors.Join(
		b.cc(ctx, "worker-nolibc", "worker.c", bare...),
		b.cc(ctx, "worker-glibc", "worker.c"),
		b.cc(ctx, "csup", "csup.c"),
		b.cc(ctx, "card", "card.c", "-pthread"),
		b.cc(ctx, "channels", "channels.c"),
	)
}

// cc compiles one source of c/ to the named file of the scratch directory.
func (b *lab) cc(ctx context.Context, output, source string, flags ...string) error {
	compiler := os.Getenv("CC")
	if compiler == "" {
		compiler = "cc"
	}
	args := append([]string{"-std=gnu11", "-O2", "-Wall", "-o", b.path(output), b.path("c", source)}, flags...)
	out, err := exec.CommandContext(ctx, compiler, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot compile %s: %w\n%s", source, err, out)
	}
	return nil
}

// path is a path below the scratch directory.
func (b *lab) path(elem ...string) string {
	return filepath.Join(append([]string{b.dir}, elem...)...)
}

// findServerUser chooses whom PostgreSQL runs as, since it refuses root.
func (b *lab) findServerUser() error {
	if !b.root {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("cannot read the ids of user %s: %w", name, err)
		}
		b.server = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return nil
	}
	return errors.New("no user postgres or nobody to run PostgreSQL as")
}

// A spawned process ends with the lab at the latest. It dies with the main
// thread too, on which spawn must be called. Nobody but stop reaps it, so that
// its number is its own until then and a thousand of them need no thread each.
type spawned struct {
	cmd    *exec.Cmd
	reaped bool
}

// spawn starts cmd in a process group of its own, so that a terminal's Ctrl-C
// reaches only the benchmark, which then stops things in order. ending is the
// signal that it gets when the benchmark dies without that.
func (b *lab) spawn(cmd *exec.Cmd, ending syscall.Signal) (*spawned, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = ending
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", cmd.Path, err)
	}
	s := &spawned{cmd: cmd}
	b.spawns = append(b.spawns, s)
	return s, nil
}

func (s *spawned) pid() int { return s.cmd.Process.Pid }

// ended says whether the process is gone.
func (s *spawned) ended() bool {
	return s.reaped || hasEnded(s.pid(), 0)
}

// stop signals the process, kills it if it is there 5 s later, and reaps it.
func (s *spawned) stop(sig syscall.Signal) {
	if s == nil || s.reaped {
		return
	}
	s.cmd.Process.Signal(sig)
	if !hasEnded(s.pid(), 5*time.Second) {
		s.cmd.Process.Kill()
	}
	s.cmd.Wait()
	s.reaped = true
}

// stopAll is stop for many at once.
func stopAll(all []*spawned, sig syscall.Signal) {
	for _, s := range all {
		if !s.reaped {
			s.cmd.Process.Signal(sig)
		}
	}
	for _, s := range all {
		s.stop(sig)
	}
}

// forget drops processes that were stopped, so that a long run holds no list of them.
func (b *lab) forget() {
	live := b.spawns[:0]
	for _, s := range b.spawns {
		if !s.reaped {
			live = append(live, s)
		}
	}
	b.spawns = live
}

// close ends what peers left behind and removes the directories.
func (b *lab) close() error {
	stopAll(b.spawns, syscall.SIGTERM)
	b.sweep()
	var err error
	for _, l := range b.books {
		err = errors.Join(err, l.close())
	}
	for _, dir := range []string{b.dir, b.shm} {
		if dir != "" {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	if b.claim != nil {
		b.claim.Close()
	}
	return err
}

// sweep kills workers whose supervisor is gone: processes that a ledger names
// and that run this lab's own program, so never a stranger.
func (b *lab) sweep() {
	for _, l := range b.books {
		for i := range ledgerRecords {
			b.kill(l.at(i).pid)
		}
	}
}

func (b *lab) kill(pid int) {
	if pid <= 1 || !b.isWorker(pid) {
		return
	}
	killIf(pid, func() bool { return b.isWorker(pid) })
}

func (b *lab) isWorker(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && (exe == b.path("worker-nolibc") || exe == b.path("worker-glibc"))
}

// logFile is where a peer's own output goes; it ends with the lab.
func (b *lab) logFile(name string) (*os.File, error) {
	return os.OpenFile(b.path(name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
}

// tail is the end of a peer's output, for the error that says it failed.
func (b *lab) tail(name string) string {
	f, err := os.Open(b.path(name + ".log"))
	if err != nil {
		return ""
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil && end > 1000 {
		f.Seek(-1000, io.SeekEnd)
	} else {
		f.Seek(0, io.SeekStart)
	}
	text, _ := io.ReadAll(f)
	return string(text)
}
