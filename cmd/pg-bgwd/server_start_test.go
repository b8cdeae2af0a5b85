package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// trio is one worker for each start time; those of the server's phases hold a
// session, which a server that is not ready for them would refuse.
func trio(d *diary) string {
	return d.worker("early", "postmaster_start", plain) + d.worker("reader", "consistent_state", session) +
		d.worker("writer", "recovery_finished", session)
}

// beside starts pg-bgwd with the server blocks and workers.
func beside(t *testing.T, servers, workers string) *supervisor {
	t.Helper()
	return start(t, startBus(t), map[string]string{"pg-bgw.hcl": servers, "workers.d/10.hcl": workers})
}

// server returns when the server of that label is shown to be of that kind.
func (s *supervisor) server(label, kind string) {
	s.t.Helper()
	s.poll("server "+label+" "+kind, func() bool {
		m, err := s.client.Manager(s.ctx())
		return err == nil && m.Phases[label] == kind
	})
}

// idle returns when these workers wait for their server, without a process and not
// for a time.
func (s *supervisor) idle(labels ...string) {
	s.t.Helper()
	for _, label := range labels {
		s.poll(label+" waits for its server", func() bool {
			w := s.worker(label)
			return w.State == "waiting" && w.MainPID == 0 && w.NextStart == 0
		})
	}
}

// waiting fails the test unless these workers are without a process and wait
// for their server.
func (s *supervisor) waiting(labels ...string) {
	s.t.Helper()
	for _, label := range labels {
		if w := s.worker(label); w.State != "waiting" || w.MainPID != 0 || w.NextStart != 0 {
			s.t.Errorf("%s is %s (%s), next start %d", label, w.State, w.Reason, w.NextStart)
		}
	}
}

// archived makes two clusters: a primary that was stopped and has archived
// everything, and a backup of it that restores from that archive as far as the
// named restore point. It asks for the segments after the first only when the
// file gate exists, so that until then it has begun recovery and is not
// consistent.
func archived(t *testing.T, conf ...string) (c *cluster, gate string) {
	t.Helper()
	p := newCluster(t, "archive_mode = on", "archive_command = 'cp %p ../archive.%f'")
	p.start()
	conn := p.connect()
	begin, end := "pg_backup_start('b', true)", "labelfile FROM pg_backup_stop()"
	if v := exec1(t, conn, "SHOW server_version_num"); v < "150000" {
		begin, end = "pg_start_backup('b', true, false)", "labelfile FROM pg_stop_backup(false)"
	}
	first := exec1(t, conn, "SELECT pg_walfile_name("+begin+")")
	c = emptyCluster(t)
	c.run("cp", "-a", p.dir, c.dir)
	exec1(t, conn, "SELECT pg_switch_wal()")
	exec1(t, conn, "CREATE TABLE made_during_backup ()")
	label := exec1(t, conn, "SELECT "+end)
	exec1(t, conn, "SELECT pg_create_restore_point('here')")
	exec1(t, conn, "CREATE TABLE made_after_the_point ()")
	p.stop("fast") // archives what is left
	gate = filepath.Join(c.base, "gate")
	c.run("sh", "-c", fmt.Sprintf("cd %s && rm -rf postmaster.pid postmaster.opts pg_wal/0*", c.dir))
	c.write("backup_label", label)
	c.write("recovery.signal", "")
	c.set(append(conf, "archive_mode = off", "recovery_target_name = 'here'", fmt.Sprintf(
		"restore_command = 'case %%f in *.history|%s) ;; *) until test -e %s; do sleep 0.01; done ;; esac; cp %s/archive.%%f %%p'",
		first, gate, p.base))...)
	return c, gate
}

// BGW-077, BGW-078, BGW-079, BGW-080, BGW-081, BGW-083 in archive recovery: only
// PostmasterStart before the consistent state; ConsistentState while it pauses
// at its target; RecoveryFinished when it has ended, without a restart of
// anybody.
func TestServerArchiveRecovery(t *testing.T) {
	for _, action := range []string{"pause", "promote"} {
		t.Run(action, func(t *testing.T) {
			c, gate := archived(t, "recovery_target_action = '"+action+"'")
			d := newDiary(t)
			s := beside(t, c.block("main"), trio(d))
			s.server("main", "down")
			s.waiting("early", "reader", "writer")
			c.launch()
			s.server("main", "recovering")
			s.await(d, "early", "start") // BGW-077
			s.waiting("reader", "writer")
			write(t, gate, "")
			if action == "pause" {
				s.await(d, "reader", "standby") // BGW-078
				conn := c.connect()
				for exec1(t, conn, "SELECT pg_get_wal_replay_pause_state()") != "paused" {
				}
				s.waiting("writer") // BGW-079
				exec1(t, conn, "SELECT pg_wal_replay_resume()")
			}
			s.await(d, "writer", "primary") // BGW-080
			if action == "promote" {
				s.poll("reader", func() bool { return len(d.entries("reader")) == 2 })
			}
			for _, name := range []string{"early", "reader", "writer"} { // BGW-081
				if w := s.state(name, "running"); w.StartNumber != 1 {
					t.Errorf("%s is at start %d", name, w.StartNumber)
				}
			}
			d.check("writer")
		})
	}
}

// BGW-083: hot_standby = off: no worker that would need a session, until the
// promotion, which needs none.
func TestServerHotStandbyOff(t *testing.T) {
	p := newCluster(t)
	p.start()
	c := p.backup("hot_standby = off")
	d := newDiary(t)
	s := beside(t, c.block("main"), trio(d))
	c.launch()
	s.server("main", "recovering")
	s.await(d, "early", "start")
	// It has replayed what the primary had when this came, and still refuses everybody.
	p.query("SELECT pg_switch_wal()")
	until := p.query("SELECT pg_current_wal_lsn()")
	s.poll("replay", func() bool {
		return p.query("SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= '"+until+"'") == "1"
	})
	s.waiting("reader", "writer")
	c.askToPromote()
	s.await(d, "reader", "primary")
	s.await(d, "writer", "primary")
	if w := s.worker("early"); w.StartNumber != 1 { // BGW-081
		t.Errorf("early is at start %d", w.StartNumber)
	}
	d.check("writer")
}

// BGW-078 to BGW-082 with a primary and a standby of it by pg_basebackup -R,
// both watched by one supervisor: what waits for
// the promotion of the one starts then; nothing that happens to one server touches the
// workers of the other.
func TestServerTwo(t *testing.T) {
	p := newCluster(t)
	p.start()
	c := p.backup()
	d := newDiary(t)
	of := func(server string, lines string) string { return lines + "\n  server = \"" + server + "\"" }
	s := beside(t, p.block("east")+c.block("west", c.byFile()),
		d.worker("east-writer", "recovery_finished", of("east", session))+
			d.worker("west-reader", "consistent_state", of("west", session))+
			d.worker("west-writer", "recovery_finished", of("west", session)))
	s.await(d, "east-writer", "primary") // BGW-082
	s.server("west", "down")
	c.start()
	s.await(d, "west-reader", "standby") // BGW-078
	s.waiting("west-writer")             // BGW-079
	dynamic := definition("dynamic", -1, "/bin/sleep", "1000")
	dynamic.Set |= dbusapi.KeyServer | dbusapi.KeyStartTime
	dynamic.Server, dynamic.StartTime = "west", "recovery_finished"
	late := s.register(dynamic)
	dynamic.Server = "south"
	if _, err := s.client.RegisterDynamicBackgroundWorker(s.ctx(), dynamic, 0); err == nil || !strings.Contains(err.Error(), "there is east, west") {
		t.Errorf("a server that is not there: %v", err)
	}
	p.stop("fast")
	s.poll("east-writer's end", func() bool { return s.worker("east-writer").State == "waiting" })
	if w := s.worker("west-reader"); w.State != "running" || w.StartNumber != 1 {
		t.Errorf("west-reader is %s at start %d", w.State, w.StartNumber)
	}
	if w := s.info(late); w.State != "waiting" || w.Definition.Server != "west" {
		t.Errorf("a dynamic worker of west is %s, on server %q", w.State, w.Definition.Server)
	}
	c.promote()
	s.running(late)
	s.await(d, "west-writer", "primary")                                                   // BGW-080
	if got := d.entries("west-reader"); !slices.Equal(got, []string{"start", "standby"}) { // BGW-081
		t.Errorf("west-reader was told %s", strings.Join(got, ", "))
	}
	d.check("east-writer", "west-writer")
}
