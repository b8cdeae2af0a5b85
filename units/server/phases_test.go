package server

import (
	"slices"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/units"
)

// BGW-077, BGW-082: a cold start goes from down to running, and nothing that
// needs a primary may start before.
func TestColdStart(t *testing.T) {
	c := newCluster(t)
	r := c.watch()
	if s := r.await(Down); s.Phase() != units.PhaseDown {
		t.Errorf("%+v: want nothing to be permitted", s)
	}
	c.start()
	s := r.await(Running)
	if s.Phase() != units.PhaseRunning || s.Demoted || s.Crash {
		t.Errorf("got %+v, want a plain primary", s)
	}
	for _, s := range r.past {
		if !slices.Contains([]Kind{Down, Starting, Running}, s.Kind) {
			t.Errorf("told %v on the way up", s.Kind)
		}
	}
}

// BGW-088: a fast stop is known at once, and the end of it.
func TestFastStop(t *testing.T) {
	c := newCluster(t)
	c.start()
	r := c.watch()
	r.await(Running)
	c.signal(syscall.SIGINT)
	s := r.await(Stopping, Down)
	if s.Phase() != units.PhaseDown {
		t.Errorf("got %+v, want the server gone", s)
	}
	if s.Kind == Stopping { // a stop that is over at once is never seen under way
		r.await(Down)
	}
}

// BGW-078, BGW-079, BGW-080, BGW-081: a standby permits what hot standby does,
// never more, until it is promoted; then everything, without an interruption.
func TestStandbyAndPromotion(t *testing.T) {
	primary := newCluster(t)
	primary.start()
	c := primary.standby()
	r := c.watch()
	r.await(Down)
	c.start()
	if s := r.await(HotStandby); s.Phase() != units.PhaseConsistent || s.Demoted {
		t.Errorf("got %+v, want a plain standby", s)
	}
	if i := slices.Index(r.kinds(), Running); i >= 0 {
		t.Errorf("a standby was told to be running: %+v", r.past[i])
	}
	n := len(r.past)
	c.query("SELECT pg_promote()")
	r.await(Running)
	if len(r.past) != n+1 {
		t.Errorf("promotion went through %v, want no state between", r.kinds()[n:])
	}
}

// BGW-083: without hot standby only PostmasterStart workers may run, until
// promotion.
func TestHotStandbyOff(t *testing.T) {
	primary := newCluster(t)
	primary.start()
	c := primary.standby("hot_standby = off")
	c.start()
	r := c.watch()
	if s := r.await(Recovering); s.Phase() != units.PhaseStarted {
		t.Errorf("got %+v, want PostmasterStart only", s)
	}
	c.promoteByFile()
	r.await(Running)
	if slices.Contains(r.kinds(), HotStandby) {
		t.Errorf("told %v", r.kinds())
	}
}

// BGW-078, BGW-079, BGW-080 in archive recovery: consistent while it pauses at
// its target, running when it has ended, and never demoted.
func TestArchiveRecovery(t *testing.T) {
	primary := newCluster(t)
	primary.start()
	c := primary.standby("restore_command = '/bin/false'", "primary_conninfo = ''",
		"recovery_target = 'immediate'", "recovery_target_action = 'pause'")
	c.remove("standby.signal")
	c.write("recovery.signal", "")
	c.start()
	r := c.watch()
	if s := r.await(HotStandby, Running); s.Kind != HotStandby || s.Demoted || s.Phase() != units.PhaseConsistent {
		t.Errorf("got %+v, want a server that is consistent and no more", s)
	}
	conn := c.connect()
	for exec1(t, conn, "SELECT pg_get_wal_replay_pause_state()") != "paused" {
	}
	exec1(t, conn, "SELECT pg_wal_replay_resume()")
	r.await(Running)
}

// BGW-072, and BGW-058 for the server's own processes: a crash restart is seen
// although the postmaster lives on, and it is remembered until the server is up.
func TestCrashRestart(t *testing.T) {
	c := newCluster(t)
	c.start()
	r := c.watch()
	r.await(Running)
	c.crash()
	if s := r.await(CrashRestart); s.Phase() != units.PhaseCrashed || !s.Crash {
		t.Errorf("got %+v", s)
	}
	if s := r.await(Running); !s.Crash {
		t.Errorf("got %+v, want it to say that it came through a crash", s)
	}
	c.signal(syscall.SIGINT)
	if s := r.await(Down); s.Crash {
		t.Errorf("got %+v, want the crash forgotten", s)
	}
}

// BGW-073: with restart_after_crash off the server is down after a crash.
func TestCrashWithoutRestart(t *testing.T) {
	c := newCluster(t, "restart_after_crash = off")
	c.start()
	r := c.watch()
	r.await(Running)
	c.crash()
	if s := r.await(Down); !s.Crash {
		t.Errorf("got %+v, want it to say that it came through a crash", s)
	}
}

// BGW-092: an immediate stop.
func TestImmediateStop(t *testing.T) {
	c := newCluster(t)
	c.start()
	r := c.watch()
	r.await(Running)
	c.signal(syscall.SIGQUIT)
	r.await(Down)
	if slices.Contains(r.kinds(), CrashRestart) {
		t.Errorf("told %v, but nothing crashed", r.kinds())
	}
}

// BGW-084, BGW-085, BGW-086, BGW-087: in a smart stop the phase stays while a
// client is connected, and our own session does not hold the server up.
func TestSmartStop(t *testing.T) {
	c := newCluster(t)
	c.start()
	r := watch(t, Config{Conninfo: c.conninfo(), DataDirectory: c.data})
	r.await(Running)
	client := c.connect()
	c.signal(syscall.SIGTERM)
	if s := r.await(SmartStop); s.Phase() != units.PhaseRunning|units.SmartStop {
		t.Errorf("got %+v, want what was permitted before", s)
	}
	r.awaitThat("the client to be counted", func(s State) bool { return s.Kind == SmartStop && s.Clients == 1 })
	client.Close(t.Context())
	r.awaitThat("nobody to be left", func(s State) bool { return s.Kind == SmartStop && s.Clients == 0 })
	r.await(Down)
	c.wait()
}

// BGW-086: the sessions of workers are no clients either, and a smart stop is
// noticed without a look into the data directory.
func TestSmartStopOfOurs(t *testing.T) {
	c := newCluster(t)
	c.start()
	r := watch(t, Config{Conninfo: c.conninfo(), IsOurs: func(app string) bool { return app == "a worker" }})
	r.await(Running)
	worker := c.connect()
	exec1(t, worker, "SET application_name = 'a worker'")
	c.signal(syscall.SIGTERM)
	r.awaitThat("only ours to be left", func(s State) bool { return s.Kind == SmartStop && s.Clients == 0 })
	worker.Close(t.Context()) // what a worker does on SIGTERM
	r.await(Down)
	c.wait()
}

// A role that may not see others' sessions cannot count them, so grace is what
// ends our part of a smart stop.
func TestSmartStopUncounted(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.query("CREATE ROLE weak LOGIN")
	ours := Config{Conninfo: "host=" + c.dir + " user=weak", DataDirectory: c.data, SmartStopGrace: 1}
	r := watch(t, ours)
	ours.SmartStopGrace = units.Infinity
	patient, w := watchWith(t, ours)
	r.await(Running)
	patient.await(Running)
	client := c.connect()
	c.signal(syscall.SIGTERM)
	if s := r.await(SmartStop); s.Clients != -1 {
		t.Errorf("got %+v, want a count that is not known", s)
	}
	client.Close(t.Context())
	patient.await(SmartStop)
	w.SetSmartStopGrace(0) // a reload, while the stop is under way
	r.await(Down)
	patient.await(Down)
}

// A primary that comes back as a standby is demoted before it accepts a
// session, where the data directory shows it.
func TestDemotion(t *testing.T) {
	c := newCluster(t, "primary_conninfo = ''")
	c.start()
	byFile := watch(t, Config{Conninfo: c.conninfo(), DataDirectory: c.data})
	bySocket := c.watch()
	byFile.await(Running)
	bySocket.await(Running)
	c.signal(syscall.SIGINT)
	c.wait()
	byFile.await(Down)
	bySocket.await(Down)
	c.write("standby.signal", "")
	byFile.awaitThat("the file to be noticed", func(s State) bool { return s.Kind == Down && s.Demoted })
	c.start()
	for _, r := range []*recorder{byFile, bySocket} {
		s := r.await(HotStandby)
		if !s.Demoted || s.Phase()&units.Demoted == 0 || s.Phase().Permits(units.RecoveryFinished) {
			t.Errorf("got %+v, want a demoted standby", s)
		}
	}
	c.promoteByFile()
	for _, r := range []*recorder{byFile, bySocket} {
		if s := r.await(Running); s.Demoted {
			t.Errorf("got %+v after promotion", s)
		}
	}
}

// Two watchers of one server, and one that counts clients at other times.
func TestCountClients(t *testing.T) {
	c := newCluster(t)
	c.start()
	other := c.watch()
	r, w := watchWith(t, Config{Conninfo: c.conninfo(), DataDirectory: c.data})
	r.await(Running)
	other.await(Running)
	client := c.connect()
	w.CountClients(true)
	r.awaitThat("the client to be counted", func(s State) bool { return s.Kind == Running && s.Clients == 1 })
	w.CountClients(false)
	r.awaitThat("the count to be forgotten", func(s State) bool { return s.Kind == Running && s.Clients == -1 })
	client.Close(t.Context())
	c.signal(syscall.SIGTERM) // each is the other's only client
	r.await(Down)
	other.await(Down)
	c.wait()
}

// BGW-080 where nobody waits for the promotion: it is noticed all the same.
func TestRelaxed(t *testing.T) {
	primary := newCluster(t)
	primary.start()
	c := primary.standby()
	c.start()
	r, w := watchWith(t, Config{Conninfo: c.conninfo()})
	r.await(HotStandby)
	w.Relax(true)
	c.promoteByFile()
	r.await(Running)
}

// What a state tells of the server beside its kind: version, postmaster, and
// where it was asked, without a secret.
func TestIdentity(t *testing.T) {
	c := newCluster(t)
	c.start()
	r := watch(t, Config{Conninfo: c.conninfo() + " password=hunter2 sslmode=prefer options='-c search_path=hidden'"})
	s := r.await(Running)
	if version := c.query("SHOW server_version"); s.Version != version || s.Postmaster != c.cmd.Process.Pid {
		t.Errorf("version %q, postmaster %d, want %q and %d", s.Version, s.Postmaster, version, c.cmd.Process.Pid)
	}
	if want := "host=" + c.dir + " port=5432 user=postgres dbname=postgres sslmode=prefer"; s.Conninfo != want {
		t.Errorf("conninfo %q, want %q", s.Conninfo, want)
	}
	c.signal(syscall.SIGINT)
	if s := r.await(Down); s.Postmaster != 0 || s.Version == "" || s.Conninfo == "" {
		t.Errorf("got %+v", s)
	}
}
