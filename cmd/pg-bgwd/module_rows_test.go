package main

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// moduleWorker is a worker of a module: its words are those of testdata/modules/bgw_rows.c.
func moduleWorker(label, words string, more ...string) string {
	settings := map[string]string{
		"library_name": `"bgw_rows"`, "function_name": `"bgw_rows_main"`, "flags": `["shmem_access"]`,
		"start_time": `"postmaster_start"`, "restart_time": `"never"`, "type": `"rows type"`, "extra": fmt.Sprintf("%q", words),
	}
	for i := 0; i+1 < len(more); i += 2 {
		settings[more[i]] = more[i+1]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "worker %q {\n", label)
	for name, value := range settings {
		fmt.Fprintf(&b, "  %s = %s\n", name, value)
	}
	return b.String() + "}\n"
}

// modulePath is a configuration without preloaded modules.
func modulePath() string {
	return fmt.Sprintf("dynamic_library_path = %q\n", testModules()+":$libdir")
}

// withSession makes a worker one that connects.
var withSession = []string{"flags", `["shmem_access", "backend_database_connection"]`, "start_time", `"recovery_finished"`}

// outcome waits for the end of a worker's first process, or of its last.
func (s *supervisor) outcome(label string) dbusapi.WorkerInfo {
	s.t.Helper()
	var w dbusapi.WorkerInfo
	s.poll(label+" ended", func() bool {
		w = s.worker(label)
		return w.StartNumber > 0 && w.MainPID == 0 && (w.ExitCode >= 0 || w.ExitSignal > 0)
	})
	return w
}

// exits checks that these workers end with that code.
func (s *supervisor) exits(code int32, labels ...string) {
	s.t.Helper()
	for _, label := range labels {
		if w := s.outcome(label); w.ExitCode != code {
			s.t.Errorf("%s ended with code %d, signal %d: %s", label, w.ExitCode, w.ExitSignal, w.Reason)
		}
	}
}

// TestModuleLoading: what a worker's library and function may be (BGW-095 to BGW-100).
func TestModuleLoading(t *testing.T) {
	needModules(t)
	again := []string{"restart_time", "1"}
	s := beside(t, modulePath(),
		moduleWorker("library", "", append(again, "library_name", `"no_such_library"`)...)+
			moduleWorker("function", "", append(again, "function_name", `"no_such_function"`)...)+
			moduleWorker("internal", "", "library_name", `"postgres"`, "function_name", `"NoSuchMain"`)+
			moduleWorker("bare", "", "library_name", `"bgw_bare"`)+
			moduleWorker("foreign", "", "library_name", `"bgw_foreign"`)+
			moduleWorker("suffix", "say:found with the suffix,exit:0")+
			moduleWorker("whole", "say:found as it is,exit:0", "library_name", `"bgw_rows.so"`)+
			moduleWorker("slash", "say:found by its path,exit:0", "library_name", fmt.Sprintf("%q", testModules()+"/bgw_rows"))+
			moduleWorker("math", "", "library_name", `"bgw_math"`, "function_name", `"bgw_math_main"`)+
			moduleWorker("twice", "again,inits,exit:0"))
	for label, text := range map[string]string{
		"library":  `could not access file "no_such_library": No such file or directory`,                     // BGW-095
		"function": `could not find function "no_such_function" in file "` + testModules() + `/bgw_rows.so"`, // BGW-096
	} {
		s.logs(text)
		s.poll(label+" started again", func() bool { return s.worker(label).StartNumber > 1 })
		s.exits(1, label)
	}
	s.exits(1, "internal", "bare", "foreign")
	s.logs(`internal function "NoSuchMain" not found`)                                      // BGW-097
	s.logs(`incompatible library "` + testModules() + `/bgw_bare.so": missing magic block`) // BGW-098
	s.logs(`incompatible library "` + testModules() + `/bgw_foreign.so": version mismatch`)
	if strings.Contains(s.log.String(), "was run") {
		t.Error("code of a library that was refused has run")
	}
	s.exits(0, "suffix", "whole", "slash", "math", "twice") // BGW-099
	s.says("suffix: found with the suffix")
	s.says("whole: found as it is")
	s.says("slash: found by its path")
	s.says("the remainder is 1.5")
	s.says("twice: inits 1") // BGW-100
}

// TestModulePath: a directory of the path may be one below $libdir.
func TestModulePath(t *testing.T) {
	needModules(t)
	libdir, err := exec.Command(pgConfig(), "--pkglibdir").Output()
	if err != nil {
		t.Fatal(err)
	}
	path := "$nowhere:$libdir" + strings.Repeat("/..", strings.Count(string(libdir), "/")) + testModules()
	s := beside(t, fmt.Sprintf("dynamic_library_path = %q\n", path), moduleWorker("found", "say:found there,exit:0"))
	s.says("found: found there")
}

// TestModuleSignals: what a module's worker finds and how it ends (BGW-101 to
// BGW-106, BGW-112).
func TestModuleSignals(t *testing.T) {
	needModules(t)
	s := beside(t, modulePath(),
		moduleWorker("plain", "signals,exit:0")+
			moduleWorker("blocked", "term,say:still here,unblock,say:not here")+
			moduleWorker("handler", "wait", "restart_time", "1")+
			moduleWorker("uncaught", "error")+
			moduleWorker("returns", "say:done"))
	// HUP, INT, USR1, USR2, PIPE, TERM, QUIT, ALRM, CHLD: blocked or open; ignored, default or handled.
	s.says("plain: bibibibibibhohbdbd") // BGW-101, BGW-103, BGW-105
	s.exits(1, "blocked")               // BGW-102
	s.says("blocked: still here")
	if strings.Contains(s.log.String(), "not here") {
		t.Error("SIGTERM that came while it was blocked was lost")
	}
	s.says("handler: waits")
	w := s.state("handler", "running")
	if title := readOr(fmt.Sprintf("/proc/%d/cmdline", w.MainPID), ""); strings.TrimRight(title, "\x00") != "pg-bgw: handler" { // BGW-112
		t.Errorf("its title is %q", title)
	}
	sendSignal(t, w.MainPID, syscall.SIGTERM) // BGW-105
	s.logs(`terminating background worker "rows type" due to administrator command`)
	s.poll("its restart", func() bool { n := s.worker("handler"); return n.StartNumber == 2 && n.State == "running" })
	s.exits(1, "uncaught") // BGW-106
	s.says("ERROR:  uncaught")
	s.exits(0, "returns")
}

// TestModuleActivity: what a module's worker reports of its activity is its status
// text, cut between characters.
func TestModuleActivity(t *testing.T) {
	needModules(t)
	s := beside(t, modulePath(),
		moduleWorker("busy", "doing:one,doing:counts beans,wait")+
			moduleWorker("idle", "doing:something,idle,wait")+
			moduleWorker("long", "wordy,wait"))
	for label, text := range map[string]string{"busy": "active: counts beans", "idle": "idle", "long": "active: " + strings.Repeat("ä", 123)} {
		s.poll(label+" says "+text, func() bool { return s.worker(label).StatusText == text })
	}
}

// TestModuleRegisteredLate: a registration by RegisterBackgroundWorker from
// shmem_startup_hook or from a worker is too late: a complaint, and no worker
// (BGW-021). A server tells the one or the other of it, pg-bgw both.
func TestModuleRegisteredLate(t *testing.T) {
	dir := needModules(t)
	complaint := `background worker "late %s": must be registered in shared_preload_libraries`
	if release(t) >= 17 {
		complaint = `background worker "late %s": must be registered in "shared_preload_libraries"`
	}
	parameters := map[string]string{"bgw_rows.statics": "early=unblock,enlist,wait", "bgw_rows.late": "on"}

	t.Run("inside", func(t *testing.T) {
		conf := []string{"max_worker_processes = 8", "shared_preload_libraries = 'bgw_rows'", "dynamic_library_path = '" + testModules() + "'",
			"bgw_rows.statics = '" + parameters["bgw_rows.statics"] + "'"}
		teller := "worker"
		if release(t) < 17 {
			teller = "hook"
			conf = append(conf, "bgw_rows.late = on")
		}
		c := newCluster(t, conf...)
		c.start()
		(&supervisor{t: t}).poll("the complaint and the worker", func() bool {
			return lastLine(c.base+"/log", fmt.Sprintf(complaint, teller)) != "" && lastLine(c.base+"/log", "early: waits") != ""
		})
		if said := lastLine(c.base+"/log", "late hook: waits") + lastLine(c.base+"/log", "late worker: waits"); said != "" {
			t.Errorf("a worker that was registered too late runs: %s", said)
		}
	})
	t.Run("beside", func(t *testing.T) {
		s := beside(t, modulesBlock(dir, parameters, "bgw_rows"), "")
		s.says("early: waits")                 // after its registration, which came after the hook's
		s.says(fmt.Sprintf(complaint, "hook")) // the launcher's words, as it wrote them
		s.logs(fmt.Sprintf(complaint, "worker"))
		if m, err := s.client.Manager(s.ctx()); err != nil || m.Workers != 1 {
			t.Errorf("there are %d workers, %v", m.Workers, err)
		}
	})
}

// logs waits for a line in the log as a worker wrote it.
func (s *supervisor) logs(text string) {
	s.t.Helper()
	s.says(strings.ReplaceAll(text, `"`, `\"`))
}

// TestModuleConnections: BackgroundWorkerInitializeConnection and what it leads
// to, by the rules of BGW-104, BGW-113 to BGW-115, BGW-120 to BGW-129 and BGW-132. In
// BGW-113, BGW-122, BGW-123 and BGW-125 to BGW-129 a client differs from a
// process of the server, as the table in pg-bgw-modules(7) has it.
func TestModuleConnections(t *testing.T) {
	needModules(t)
	c := newCluster(t)
	c.start()
	for _, q := range []string{
		"CREATE DATABASE closed ALLOW_CONNECTIONS false", "CREATE ROLE nologin", "CREATE DATABASE private", "CREATE ROLE stranger LOGIN",
		"REVOKE CONNECT ON DATABASE private FROM public", "CREATE ROLE limited LOGIN CONNECTION LIMIT 0",
	} {
		c.query(q)
	}
	listener := c.connect()
	exec1(t, listener, "LISTEN rows")
	db := func(label, words string) string { return moduleWorker(label, words, withSession...) }
	s := beside(t, c.block("main")+modulePath(),
		db("signals", "signals,exit:0")+
			moduleWorker("unasked", "connect:postgres")+
			db("twice", "unblock,connect:postgres,connect:postgres")+
			db("nowhere", "unblock,connect:,query:SELECT current_database() || ' ' || current_user,exit:0")+
			moduleWorker("unknown", "unblock,connect:no_such", append(withSession, "restart_time", "1")...)+
			db("closed", "unblock,connect:closed")+db("private", "unblock,connect:private/stranger")+
			db("nologin", "unblock,connect:postgres/nologin")+db("limited", "unblock,connect:postgres/limited")+
			db("notifies", "unblock,connect:postgres,notify,exit:0")+
			db("listens", "unblock,connect:postgres,query:LISTEN rows,exit:0")+
			db("shown", "unblock,connect:postgres,wait")+
			moduleWorker("hidden", "wait"))
	s.says("signals: bibhbhbibibhohbdbd") // BGW-104: INT and USR1 are handled
	s.exits(1, "unasked", "twice")
	s.logs("FATAL:  database connection requirement not indicated during registration")     // BGW-120
	s.logs(`ERROR:  background worker "twice" is connected to database "postgres" already`) // BGW-121
	s.exits(0, "nowhere")
	s.says("nowhere: postgres postgres")        // BGW-122 and BGW-123: what the definition says, and else the server block
	s.logs(`database "no_such" does not exist`) // BGW-124
	s.poll("another attempt", func() bool { return s.worker("unknown").StartNumber > 1 })
	s.exits(1, "unknown", "closed", "private", "nologin", "limited")
	s.logs(`database "closed" is not currently accepting connections`) // BGW-125
	s.logs(`permission denied for database "private"`)                 // BGW-126
	s.logs(`role "nologin" is not permitted to log in`)                // BGW-127
	s.logs(`too many connections for role "limited"`)                  // BGW-128
	s.exits(0, "notifies", "listens")
	if err := listener.WaitForNotification(s.ctx()); err != nil { // BGW-132
		t.Errorf("its NOTIFY: %v", err)
	}
	s.says("shown: waits")
	const shown = "SELECT backend_type || ', ' || application_name || ', ' || datname FROM pg_stat_activity WHERE application_name LIKE 'rows type%'"
	if got := c.query(shown); got != "client backend, rows type: shown, postgres" { // BGW-113
		t.Errorf("pg_stat_activity has %q", got)
	}
	hidden := s.state("hidden", "running").MainPID
	if got := c.query(fmt.Sprintf("SELECT count(*) FROM pg_stat_activity WHERE pid = %d", hidden)); got != "0" { // BGW-114
		t.Errorf("it has %s rows in pg_stat_activity", got)
	}
	if got := c.query(fmt.Sprintf("SELECT pg_terminate_backend(%d)", hidden)); got != "f" { // BGW-115
		t.Errorf("pg_terminate_backend says %s", got)
	}
}

// TestModuleSessionLibraries: a client's session has what the server gives every
// client (BGW-129, a deviation).
func TestModuleSessionLibraries(t *testing.T) {
	dir := needModules(t)
	c := newCluster(t, "dynamic_library_path = '"+dir+":$libdir'", "session_preload_libraries = 'bgw_spi'")
	c.start()
	s := beside(t, c.block("main")+modulePath(),
		moduleWorker("client", "unblock,connect:postgres,query:SHOW bgw_spi.naptime,exit:0", withSession...))
	s.says("client: 10s")
}
