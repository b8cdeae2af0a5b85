package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Demotion: a primary that comes back as a standby. What holds sessions is
// ended by its stop. What outlives that (on_server_stop = "keep") and is to stop
// on demotion is ended before the server accepts a session, where its data
// directory can be seen; else as soon as the server says what it is. Nothing
// of that is started on the standby (BGW-079), all of it after the promotion (BGW-080).
func TestServerDemotion(t *testing.T) {
	const keep = "\n  on_server_stop = \"keep\"\n  stop_on_demotion = "
	for _, by := range []string{"file", "socket"} {
		t.Run(by, func(t *testing.T) {
			c := newCluster(t)
			d := newDiary(t)
			var lines []string
			if by == "file" {
				lines = append(lines, c.byFile())
			}
			s := beside(t, c.block("main", lines...), trio(d)+d.worker("outliver", "recovery_finished", plain+keep+"true")+
				d.worker("stayer", "recovery_finished", plain+keep+"false"))
			c.start()
			s.await(d, "reader", "primary")
			s.await(d, "writer", "primary")
			s.await(d, "reader", "primary")
			s.await(d, "outliver", "start")
			s.await(d, "stayer", "start")
			c.stop("fast")
			s.server("main", "down")
			if w := s.worker("outliver"); w.State != "running" {
				t.Errorf("outliver is %s", w.State)
			}
			gate := filepath.Join(c.base, "gate") // the server cannot get to a consistent state before it is there
			c.set("restore_command = 'until test -e " + gate + "; do sleep 0.01; done; false'")
			c.standby()
			c.launch()
			if by == "file" {
				s.await(d, "outliver", "stop SIGTERM")
			}
			write(t, gate, "")
			s.await(d, "reader", "standby")
			s.await(d, "outliver", "stop SIGTERM")
			s.idle("writer", "outliver")
			c.promote()
			s.await(d, "writer", "primary")
			s.await(d, "outliver", "start")
			if got := d.entries("stayer"); !slices.Equal(got, []string{"start"}) {
				t.Errorf("stayer was told %s", strings.Join(got, ", "))
			}
			d.check("writer")
		})
	}
}

// BGW-058, BGW-065, BGW-068, BGW-072 for a crash of the server's: what is
// attached is ended with its segment, which is renewed; what is not is ended or
// loses its session; what is to be kept runs on; everybody is there again when
// the server is, under the same handle, whatever restart_time says.
func TestServerCrash(t *testing.T) {
	c := newCluster(t)
	d := newDiary(t)
	const keep = "\n  on_server_crash = \"keep\"\n  stop_on_demotion = true" // a primary that recovers is no standby
	s := beside(t, c.block("main"), trio(d)+d.worker("once", "recovery_finished", once)+
		d.worker("kept", "recovery_finished", plain+keep)+attacher(witness, "main"))
	c.start()
	names := []string{"early", "reader", "writer", "once"}
	for round := range uint64(3) {
		for _, name := range names[1:] {
			s.await(d, name, "primary")
		}
		s.await(d, "early", "start")
		s.attached(witness)
		for _, name := range append(names, witness) {
			if w := s.worker(name); w.StartNumber != round+1 {
				t.Errorf("%s is at start %d after %d crashes", name, w.StartNumber, round)
			}
		}
		if round == 2 {
			break
		}
		c.query("CREATE TABLE redo" + string(rune('a'+round)) + " AS SELECT generate_series(1, 50000)")
		c.settled()
		c.crash()
		for _, name := range append(names, witness) {
			s.poll(name+" at its next start", func() bool { return s.worker(name).StartNumber == round+2 })
		}
	}
	if got := d.entries("kept"); !slices.Equal(got, []string{"start"}) {
		t.Errorf("kept was told %s", strings.Join(got, ", "))
	}
	for _, line := range []string{`msg="a server crashed`, `msg="segment renewed`} {
		if n := strings.Count(s.log.String(), line); n != 2 {
			t.Errorf("%d lines of two crashes have %s", n, line)
		}
	}
	d.check()
}

// settled returns when every session of the server waits for its client: one
// that is busy sending says nothing when it is ended by a crash.
func (c *cluster) settled() {
	c.t.Helper()
	conn := c.connect()
	for exec1(c.t, conn, "SELECT bool_and(wait_event = 'ClientRead') FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()") != "t" {
	}
}

// start_splay: a server that comes up is not met by all of its workers at once.
func TestServerSplay(t *testing.T) {
	const n = 12
	c := newCluster(t)
	d := newDiary(t)
	var workers strings.Builder
	names := make([]string, n)
	for i := range n {
		names[i] = "w" + string(rune('a'+i))
		workers.WriteString(d.worker(names[i], "recovery_finished", session))
	}
	s := beside(t, c.block("main")+"start_splay = \"1h\"\n", workers.String())
	c.start()
	s.server("main", "running")
	var due []uint64
	for _, name := range names {
		if w := s.worker(name); w.State == "waiting" && w.NextStart != 0 {
			due = append(due, w.NextStart)
		}
	}
	slices.Sort(due)
	const hour = 3600_000_000
	if len(due) < n-2 || due[len(due)-1]-due[0] > hour || due[len(due)-1]-due[0] < hour/8 {
		t.Errorf("%d of %d starts are spread: %v", len(due), n, due)
	}
	c.stop("fast")
	s.server("main", "down")
	s.idle(names[1], names[2])
}

// A server block that is changed has its server watched anew, and one that is
// added beside it is another server: nobody of the first is ended or started
// for that.
func TestServerReload(t *testing.T) {
	c, other := newCluster(t), newCluster(t)
	c.start()
	d := newDiary(t)
	in := func(server string) string { return "\n  server = \"" + server + "\"" }
	first := trio(d)
	s := beside(t, c.block("main"), first)
	s.await(d, "reader", "primary")
	s.await(d, "writer", "primary")
	s.await(d, "early", "start")
	s.file("pg-bgw.hcl", c.block("main", c.byFile()))
	if err := s.client.Reload(s.ctx()); err != nil {
		t.Fatal(err)
	}
	s.server("main", "running")
	s.file("pg-bgw.hcl", c.block("main")+other.block("other"))
	s.file("workers.d/10.hcl", d.worker("early", "postmaster_start", plain+in("main"))+
		d.worker("reader", "consistent_state", session+in("main"))+d.worker("writer", "recovery_finished", session+in("main"))+
		d.worker("elsewhere", "recovery_finished", session+in("other")))
	if err := s.client.Reload(s.ctx()); err != nil {
		t.Fatal(err)
	}
	s.server("other", "down")
	s.server("main", "running")
	s.waiting("elsewhere")
	for _, name := range []string{"early", "reader", "writer"} {
		if w := s.worker(name); w.State != "running" || w.StartNumber != 1 {
			t.Errorf("%s is %s at start %d", name, w.State, w.StartNumber)
		}
	}
	other.start()
	s.await(d, "elsewhere", "primary")
	d.check()
}
