package main

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// moduleLauncher is the pid of the launcher that has loaded modules: of those that
// have the release's library in their title, as its workers do until they have their
// own, the oldest.
func (s *supervisor) moduleLauncher(other int) (pid int) {
	s.t.Helper()
	s.poll("a launcher of modules", func() bool {
		pid = s.oldestLauncher(func(child string) bool {
			return child != strconv.Itoa(other) && strings.Contains(readOr("/proc/"+child+"/cmdline", ""), "libpgbgw-pg")
		})
		return pid != 0
	})
	return pid
}

// TestModuleFaults: a module that fails while it is loaded is named, is loaded
// again, and keeps nobody else from working; without it all is well again.
func TestModuleFaults(t *testing.T) {
	dir := needModules(t)
	fault := testModules() + "/bgw_fault.so"
	for _, c := range []struct{ way, library, want, reason string }{
		{"segv", "bgw_fault", "killed by SIGSEGV, while it was loading " + fault, ""},
		{"exit", "bgw_fault", "exit code 7, while it was loading " + fault, ""},
		{"fatal", "bgw_fault", "while it was loading " + fault, "FATAL:  the module gives up"},
		{"error", "bgw_fault", "while it was loading " + fault, "ERROR:  the module cannot go on"},
		{"missing", "no_such_module", "while it was loading no_such_module", `could not access file "no_such_module"`},
		{"foreign", "bgw_foreign", "while it was loading " + testModules() + "/bgw_foreign.so", "version mismatch"},
		{"later", "bgw_later", "while it was loading " + testModules() + "/bgw_later.so", "undefined symbol: a_function_of_a_later_minor_release"},
		{"bare", "bgw_bare", "while it was loading " + testModules() + "/bgw_bare.so", "missing magic block"},
		{"hang", "bgw_fault", "is still loading " + fault, ""},
	} {
		t.Run(c.way, func(t *testing.T) {
			t.Parallel()
			s := beside(t, modulesBlock(dir, map[string]string{"bgw_fault.way": c.way}, c.library),
				sleeper("program", "")+moduleWorker("worker", "say:after all,wait"))
			s.state("program", "running")
			s.says(c.want)
			s.says(c.reason)
			if c.way != "hang" {
				s.poll("another attempt", func() bool { return strings.Count(s.log.String(), c.want) > 1 })
			}
			s.file("pg-bgw.hcl", modulesBlock(dir, nil, "bgw_rows"))
			if err := s.client.Reload(s.ctx()); err != nil {
				t.Fatal(err)
			}
			s.poll("the worker's words", func() bool {
				if w := s.worker("worker"); w.State == "ended" { // it could not be started, and was never to be again
					if _, err := s.client.Start(s.ctx(), w.Handle); err != nil {
						t.Fatal(err)
					}
				}
				return strings.Contains(s.log.String(), "worker: after all")
			})
			if w := s.worker("program"); w.StartNumber != 1 || w.State != "running" {
				t.Errorf("another worker is %+v", w)
			}
		})
	}
}

// TestModuleHangStops: a module that never ends its loading, and a worker that
// waits for it, do not keep the supervisor from stopping.
func TestModuleHangStops(t *testing.T) {
	dir := needModules(t)
	s := beside(t, modulesBlock(dir, map[string]string{"bgw_fault.way": "hang"}, "bgw_fault"), moduleWorker("worker", "wait"))
	s.state("worker", "starting")
	hung := s.moduleLauncher(0)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := s.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	gone(t, uint32(hung))()
}

// TestModuleLauncherKilled: the workers of a launcher that is killed stay, its
// successor starts others, and what it registers is there already, also where it
// has left the type to chance, and it is another one.
func TestModuleLauncherKilled(t *testing.T) {
	dir := needModules(t)
	statics := map[string]string{"bgw_rows.statics": "one=wait;two=wait;two=say:the second two,wait;chance=wait"}
	s := beside(t, modulesBlock(dir, statics, "bgw_rows"), "")
	labels := []string{"one", "two", "two-2", "chance"}
	before := map[string]dbusapi.WorkerInfo{}
	for _, label := range labels {
		s.state(label, "running")
		before[label] = s.attached(label)
	}
	s.says("two: the second two")
	s.says("bgw_rows: shared memory is new, life 1")
	old := s.moduleLauncher(0)
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.says("killed by SIGKILL")
	s.moduleLauncher(old)
	s.says("bgw_rows: shared memory is known, life 2")
	d := definition("late", 0)
	d.Set = d.Set&^dbusapi.KeyCommand | dbusapi.KeyLibraryName | dbusapi.KeyFunctionName | dbusapi.KeyExtra
	d.LibraryName, d.FunctionName, d.Extra = "bgw_rows", "bgw_rows_main", []byte("wait")
	s.register(d)
	s.says("late: waits, level 1, assigned 1, inits 1, life 2")
	m, err := s.client.Manager(s.ctx())
	if err != nil || m.Workers != 5 {
		t.Errorf("there are %d workers, %v", m.Workers, err)
	}
	for _, label := range labels {
		if w := s.worker(label); w.MainPID != before[label].MainPID || w.Handle != before[label].Handle {
			t.Errorf("%s was %+v and is %+v", label, before[label], w)
		}
	}
}

// TestModuleCrash: a segmentation fault in a module's worker. Inside PostgreSQL it
// ends every session; beside it the segment is renewed, modules and hooks begin
// anew, what they register is matched, and no session notices (BGW-058, BGW-068,
// BGW-069).
func TestModuleCrash(t *testing.T) {
	dir := needModules(t)
	const statics = "stays=wait;never=wait"
	c := newCluster(t)
	c.start()
	bystander := c.connect()
	s := beside(t, c.block("main")+modulesBlock(dir, map[string]string{"bgw_rows.statics": statics}, "bgw_rows"), sleeper("program", ""))
	s.state("stays", "running")
	s.state("never", "running")
	stays, never := s.attached("stays"), s.attached("never")
	old := s.moduleLauncher(0)
	d := definition("crash", -1)
	d.Set = d.Set&^dbusapi.KeyCommand | dbusapi.KeyLibraryName | dbusapi.KeyFunctionName | dbusapi.KeyExtra
	d.LibraryName, d.FunctionName, d.Extra = "bgw_rows", "bgw_rows_main", []byte("segv")
	w := s.exited(s.register(d))
	if w.ExitSignal != int32(syscall.SIGSEGV) {
		t.Errorf("it ended with %+v", w)
	}
	s.poll("the restart", func() bool { n := s.worker("stays"); return n.StartNumber == 2 && n.State == "running" })
	s.poll("new memory", func() bool { return strings.Count(s.log.String(), "bgw_rows: shared memory is new, life 1") == 2 })
	s.moduleLauncher(old)
	if n := s.worker("stays"); n.Handle != stays.Handle {
		t.Errorf("a worker was registered anew: %+v", n)
	}
	if n := s.info(never.Handle); n.State != "ended" || s.worker("never").Handle != never.Handle {
		t.Errorf("one that is never started again is %+v", n)
	}
	if n := s.worker("program"); n.StartNumber != 1 {
		t.Errorf("a program that is not attached was restarted: %+v", n)
	}
	if got := exec1(t, bystander, "SELECT 'alive'"); got != "alive" {
		t.Errorf("the bystander says %q", got)
	}
}

// TestModuleVanishes: a module's worker that ends by _exit, whatever its code and
// before anybody has answered it, is a crash of its segment (BGW-061).
func TestModuleVanishes(t *testing.T) {
	dir := needModules(t)
	s := beside(t, modulesBlock(dir, map[string]string{"bgw_rows.statics": "stays=wait"}, "bgw_rows"), "")
	s.state("stays", "running")
	for n := range uint64(5) {
		s.poll("the neighbour", func() bool { w := s.worker("stays"); return w.StartNumber == n+1 && w.State == "running" })
		d := definition("vanishes", -1)
		d.Set = d.Set&^dbusapi.KeyCommand | dbusapi.KeyLibraryName | dbusapi.KeyFunctionName | dbusapi.KeyExtra
		d.LibraryName, d.FunctionName, d.Extra = "bgw_rows", "bgw_rows_main", []byte("vanish:0")
		if w := s.exited(s.register(d)); w.ExitCode != 0 || w.ExitSignal != 0 {
			t.Errorf("it ended with %+v", w)
		}
	}
	s.poll("the neighbour's last restart", func() bool { return s.worker("stays").StartNumber == 6 })
}

// TestModuleIsSmall: what every fork of a launcher would pay for is not there until
// somebody needs it, and a worker that waits has little memory of its own.
func TestModuleIsSmall(t *testing.T) {
	dir := needModules(t)
	s := beside(t, modulesBlock(dir, map[string]string{"bgw_rows.statics": "plain=say:waits now,wait"}, "bgw_rows"), "")
	s.says("plain: waits now")
	pid := strconv.Itoa(int(s.attached("plain").MainPID))
	if maps := readOr("/proc/"+pid+"/maps", ""); maps == "" || strings.Contains(maps, "libpq") {
		t.Errorf("a worker without a connection has libpq:\n%s", maps)
	}
	dirty := -1
	for line := range strings.Lines(readOr("/proc/"+pid+"/smaps_rollup", "")) {
		if f := strings.Fields(line); f[0] == "Private_Dirty:" {
			dirty, _ = strconv.Atoi(f[1])
		}
	}
	if dirty < 0 || dirty > 150 { // 70 to 80 as a rule
		t.Errorf("it has %d KiB of its own", dirty)
	}
}

// TestModuleCrashInside is the same in PostgreSQL, to be read beside it.
func TestModuleCrashInside(t *testing.T) {
	needModules(t)
	c := newCluster(t, "max_worker_processes = 8", "dynamic_library_path = '"+testModules()+"'", "shared_preload_libraries = 'bgw_rows'",
		"bgw_rows.statics = 'crash=unblock,wait'")
	c.start()
	(&supervisor{t: t}).poll("the worker", func() bool { return lastLine(c.base+"/log", "crash: waits") != "" })
	bystander := c.connect()
	if err := syscall.Kill(childNamed(t, c.cmd.Process.Pid, "crash"), syscall.SIGSEGV); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := bystander.WaitForNotification(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("the bystander is told %v", err)
	}
	c.connect()
	if lastLine(c.base+"/log", "terminating any other active server processes") == "" {
		t.Error("the server has not ended every session")
	}
}

func childNamed(t *testing.T, parent int, name string) int {
	t.Helper()
	out, err := exec.Command("ps", "--ppid", strconv.Itoa(parent), "-o", "pid=,args=").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == name {
			pid, _ := strconv.Atoi(f[0])
			return pid
		}
	}
	t.Fatalf("there is no process %q:\n%s", name, out)
	return 0
}

func lastLine(path, text string) (found string) {
	b, _ := os.ReadFile(path)
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, text) {
			found = strings.TrimSpace(line)
		}
	}
	return found
}

// TestModuleCrashRenews: after a crash the modules are loaded again at once, with
// new memory, although nothing is left that is to be started.
func TestModuleCrashRenews(t *testing.T) {
	dir := needModules(t)
	s := beside(t, modulesBlock(dir, map[string]string{"bgw_rows.statics": "never=wait"}, "bgw_rows"), "")
	s.says("bgw_rows: shared memory is new, life 1")
	s.state("never", "running")
	w := s.attached("never")
	old := s.moduleLauncher(0)
	if err := syscall.Kill(int(w.MainPID), syscall.SIGSEGV); err != nil {
		t.Fatal(err)
	}
	s.state("never", "ended")
	s.poll("the modules", func() bool { return strings.Count(s.log.String(), "bgw_rows: shared memory is new, life 1") == 2 })
	if s.moduleLauncher(old); s.worker("never").StartNumber != 1 {
		t.Errorf("what is never started again is %+v", s.worker("never"))
	}
}

// TestModuleSupervisorKilled: workers that wait for a latch, and for a condition
// variable that nobody will signal, end with their supervisor.
func TestModuleSupervisorKilled(t *testing.T) {
	needModules(t)
	s := beside(t, modulePath(), moduleWorker("latch", "say:here,wait")+meeter("barrier", 2, 0))
	s.says("latch: waits")
	s.attached("barrier")
	pids := []uint32{s.worker("latch").MainPID, s.worker("barrier").MainPID}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		s.poll("its end", func() bool { // whoever inherits it may not reap it
			_, state, found := strings.Cut(readOr("/proc/"+strconv.Itoa(int(pid))+"/stat", ""), ") ")
			return !found || strings.HasPrefix(state, "Z")
		})
	}
}
