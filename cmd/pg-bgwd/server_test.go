package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// TestServer: workers follow a real server: not before it is there, by its
// phases, through promotion, a stop, and its return (BGW-077 to BGW-082).
func TestServer(t *testing.T) {
	c := newCluster(t)
	worker := func(label, flags, startTime string) string {
		return fmt.Sprintf("worker %q {\n command = [\"/bin/sleep\", \"1000\"]\n flags = [%s]\n restart_time = \"1h\"\n start_time = %q\n}\n", label, flags, startTime)
	}
	s := start(t, startBus(t), map[string]string{
		"pg-bgw.hcl": fmt.Sprintf("server \"main\" {\n  conninfo = \"host=%s user=postgres dbname=postgres\"\n}\n", filepath.Dir(c.dir)),
		"workers.d/10.hcl": worker("early", `"shmem_access"`, "postmaster_start") +
			worker("reader", `"shmem_access", "backend_database_connection"`, "consistent_state") +
			worker("writer", `"shmem_access", "backend_database_connection"`, "recovery_finished"),
	})
	s.wait("down", func() bool { m, err := s.client.Manager(s.ctx()); return err == nil && m.Phases["main"] == "down" })
	for _, label := range []string{"early", "reader", "writer"} {
		if w := s.worker(label); w.State != "waiting" || w.Status != "not_yet_started" {
			t.Errorf("%s is %s while there is no server", label, w.State)
		}
	}
	dynamic := definition("dynamic", 3600, "/bin/sleep", "1000")
	dynamic.Set |= dbusapi.KeyStartTime
	dynamic.StartTime = "recovery_finished"
	h := s.register(dynamic)
	c.standby()
	c.start()
	early, reader := s.state("early", "running"), s.state("reader", "running") // BGW-077, BGW-078
	for _, w := range []dbusapi.WorkerInfo{s.worker("writer"), s.info(h)} {    // BGW-079
		if w.State != "waiting" {
			t.Errorf("%s is %s on a standby", w.Label, w.State)
		}
	}
	c.promote()
	s.state("writer", "running") // BGW-080
	s.running(h)
	if s.worker("early").MainPID != early.MainPID || s.worker("reader").MainPID != reader.MainPID { // BGW-081
		t.Error("the promotion restarted a worker")
	}
	c.stop("fast")
	for _, label := range []string{"early", "reader", "writer"} {
		if w := s.state(label, "waiting"); !strings.Contains(w.Reason, "server") {
			t.Errorf("%s waits for %q", label, w.Reason)
		}
	}
	c.start()
	for _, label := range []string{"early", "reader", "writer"} { // BGW-082; at once, though restart_time is an hour
		s.state(label, "running")
	}
	c.stop("fast")
	s.state("writer", "waiting")
	c.standby()
	c.start()
	s.state("reader", "running")
	if w := s.worker("writer"); w.State != "waiting" {
		t.Errorf("writer is %s on a server that was demoted", w.State)
	}
}
