package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// again has the configuration read again, by a method or by SIGHUP.
func (s *supervisor) again(byMethod bool) {
	s.t.Helper()
	if byMethod {
		if err := s.client.Reload(s.ctx()); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	reloads := strings.Count(s.log.String(), "reloaded: ")
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
	s.poll("the reload", func() bool { return strings.Count(s.log.String(), "reloaded: ") > reloads })
}

// TestModuleParameters: a reload's settings reach the workers that run, by SIGHUP
// and ProcessConfigFile, through the hooks; those that start later; and what
// _PG_init registers by them.
func TestModuleParameters(t *testing.T) {
	dir := needModules(t)
	parameters := map[string]string{"bgw_rows.statics": "one=wait"}
	s := beside(t, modulesBlock(dir, parameters, "bgw_rows"), "")
	s.says("one: waits, level 1, assigned 1")
	one := s.state("one", "running")
	with := func(level, statics string, byMethod bool) {
		t.Helper()
		parameters["bgw_rows.level"], parameters["bgw_rows.statics"] = level, statics
		s.file("pg-bgw.hcl", modulesBlock(dir, parameters, "bgw_rows"))
		s.again(byMethod)
	}
	with("7", "one=wait", true)
	s.says("one: waits, level 7, assigned 7")
	with("13", "one=wait", false) // which the check hook refuses
	s.logs(`invalid value for parameter "bgw_rows.level": 13`)
	s.says("13 brings bad luck.")
	with("8", "one=wait;two=wait", false)
	s.says("one: waits, level 8, assigned 8")
	s.says("two: waits, level 8, assigned 8, inits 1")
	if strings.Contains(s.log.String(), "level 13") {
		t.Error("a refused value was taken")
	}
	with("8", "two=wait", true)
	s.state("one", "ended")
	if w := s.worker("two"); w.StartNumber != 1 || w.State != "running" {
		t.Errorf("two is %+v", w)
	}
	if one.StartNumber != 1 {
		t.Errorf("one is %+v", one)
	}
}

// TestModuleOtherUser: a worker of another user has the parameters too, at its
// start and after a reload.
func TestModuleOtherUser(t *testing.T) {
	dir := needModules(t)
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("it needs root, to start a worker of another user")
		}
		t.Skip("it needs root, to start a worker of another user")
	}
	parameters := map[string]string{"bgw_rows.level": "5"}
	s := beside(t, modulesBlock(dir, parameters, "bgw_rows"), moduleWorker("other", "wait", "user", `"nobody"`))
	s.says("other: waits, level 5")
	parameters["bgw_rows.level"] = "6"
	s.file("pg-bgw.hcl", modulesBlock(dir, parameters, "bgw_rows"))
	s.again(true)
	s.says("other: waits, level 6")
}

// TestModuleLibrariesChange: another list of modules is another launcher; the workers of the
// old one run on unless they are not registered any more.
func TestModuleLibrariesChange(t *testing.T) {
	dir := needModules(t)
	parameters := map[string]string{"bgw_rows.statics": "one=wait", "bgw_spi.workers": "0"}
	own := moduleWorker("own", "wait")
	s := beside(t, modulesBlock(dir, parameters, "bgw_rows"), own)
	s.says("one: waits")
	s.says("own: waits")
	before := map[string]dbusapi.WorkerInfo{"one": s.state("one", "running"), "own": s.state("own", "running")}
	old := s.moduleLauncher(0)
	unchanged := func(labels ...string) {
		t.Helper()
		for _, label := range labels {
			if w := s.worker(label); w.MainPID != before[label].MainPID || w.State != "running" {
				t.Errorf("%s was %+v and is %+v", label, before[label], w)
			}
		}
	}
	s.file("pg-bgw.hcl", "max_worker_processes = 300\n"+modulesBlock(dir, parameters, "bgw_spi", "bgw_rows"))
	s.again(true)
	s.moduleLauncher(old)
	s.says("bgw_rows: shared memory is known, life 2") // the new one has loaded them
	s.file("workers.d/20.hcl", moduleWorker("later", "wait"))
	s.again(true)
	s.says("later: waits, level 1, assigned 1, inits 1, life 2")
	unchanged("one", "own")

	s.file("pg-bgw.hcl", modulePath())
	s.again(true)
	s.state("one", "ended")
	unchanged("own")
	if m, err := s.client.Manager(s.ctx()); err != nil || m.Workers != 2 {
		t.Errorf("there are %d workers, %v", m.Workers, err)
	}
}

// TestModuleLabels: a file that takes the label of a module's worker gets it, and
// the module's has another one.
func TestModuleLabels(t *testing.T) {
	dir := needModules(t)
	parameters := map[string]string{"bgw_rows.statics": "one=wait", "bgw_spi.workers": "0"}
	s := beside(t, modulesBlock(dir, parameters, "bgw_rows"), "")
	s.says("one: waits")
	s.file("workers.d/20.hcl", moduleWorker("one", "wait", "type", `"of a file"`))
	s.again(true)
	s.wait("the file's worker", func() bool { w := s.worker("one"); return w.State == "running" && w.Definition.Type == "of a file" })
	if w := s.state("one-2", "running"); w.Definition.Type == "of a file" {
		t.Errorf("the module's worker is %+v", w)
	}
}

// TestModuleSum is a module's daily work: it makes its table, adds what it finds when
// it is told to look, and again after its pause, which a reload changes; SIGTERM
// ends it, and so does the server's end.
func TestModuleSum(t *testing.T) {
	dir := needModules(t)
	c := newCluster(t)
	c.start()
	parameters := map[string]string{"bgw_spi.workers": "2", "bgw_spi.naptime": "1h"}
	s := beside(t, c.block("main")+modulesBlock(dir, parameters), "")
	s.says("bgw_spi sum 1 is ready")
	s.says("bgw_spi sum 2 is ready")
	c.query(`INSERT INTO "Sum 1".counted VALUES ('total', 5), ('delta', 30), ('delta', 7)`)
	h := s.state("bgw_spi_sum_1", "running").Handle
	if err := s.client.Signal(s.ctx(), h, int32(syscall.SIGHUP)); err != nil {
		t.Fatal(err)
	}
	s.says("bgw_spi sum 1: the total is 42")
	if got := c.query(`SELECT string_agg(kind || value, ' ') FROM "Sum 1".counted`); got != "total42" {
		t.Errorf("the table has %q", got)
	}
	parameters["bgw_spi.naptime"] = "1"
	s.file("pg-bgw.hcl", c.block("main")+modulesBlock(dir, parameters))
	s.again(false)
	c.query(`INSERT INTO "Sum 1".counted VALUES ('delta', 58)`)
	s.says("bgw_spi sum 1: the total is 100")
	if err := s.client.Terminate(s.ctx(), h); err != nil {
		t.Fatal(err)
	}
	s.exits(1, "bgw_spi_sum_1")
	c.stop("fast")
	s.exits(1, "bgw_spi_sum_2")
	if log := s.log.String(); strings.Contains(log, "PANIC") || strings.Contains(log, "signal 11") {
		t.Error("something crashed")
	}
}
