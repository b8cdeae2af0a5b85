package main

import (
	"context"
	"flag"
	"math/rand/v2"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

var (
	flapRounds = flag.Int("flap", 6, "`rounds` of TestServerFlap: each is a start, often a promotion or a crash, and a stop")
	flapSeed   = flag.Uint64("flap-seed", 1, "`number` that TestServerFlap's choices follow from")
)

// TestServerFlap: a server that starts, is promoted, crashes and stops in
// whatever way again and again, often before anybody has come to rest. It ends
// with everybody at work, nobody ever ran twice, no start and no end was logged
// twice, and no outage was anybody's failure: restart_time is an hour, or
// never. For twenty rounds, which take less than a minute: go test -run Flap
// -flap 20.
func TestServerFlap(t *testing.T) {
	c := newCluster(t, "primary_conninfo = ''")
	d := newDiary(t)
	const keep = "\n  on_server_stop = \"keep\"\n  on_server_crash = \"keep\""
	s := beside(t, c.block("main", c.byFile()), trio(d)+d.worker("once", "recovery_finished", once)+
		d.worker("kept", "consistent_state", plain+keep)+attacher(witness, "main"))
	r := rand.New(rand.NewPCG(*flapSeed, 2))
	for round := range *flapRounds {
		c.flap(r, round, func() { s.await(d, "writer", "primary") })
	}
	c.start()
	for _, name := range []string{"reader", "writer", "once"} {
		s.await(d, name, "primary")
	}
	s.await(d, "early", "start")
	s.attached(witness)
	for _, name := range []string{"early", "reader", "writer", "once", "kept"} {
		s.state(name, "running")
	}
	for _, e := range d.entries("") {
		if strings.HasSuffix(e, " twice") {
			t.Errorf("the diary has %q", e)
		}
	}
	if got := strings.Join(d.entries("kept"), ", "); got != "start" {
		t.Errorf("kept was told %s", got)
	}
	s.quiet()
}

// flap is one round. settled waits for a worker to be at work.
func (c *cluster) flap(r *rand.Rand, round int, settled func()) {
	c.t.Helper()
	standby := round%2 == 1
	if standby {
		c.standby()
	}
	c.launch()
	_ = c.connect().Close(context.Background())
	if standby {
		c.promote()
	}
	switch r.IntN(3) {
	case 0: // at once
	case 1:
		settled()
	default:
		settled()
		c.crash()
		_ = c.connect().Close(context.Background())
	}
	// No smart stop right after a promotion: PostgreSQL 15 then waits for ever.
	switch how := r.IntN(4); {
	case how == 3:
		c.signal(syscall.SIGKILL)
		c.await()
		c.swept()
	case how == 0 && !standby:
		c.stop("smart")
	default:
		c.stop([]string{"fast", "fast", "immediate"}[how])
	}
}

var workerLine = regexp.MustCompile(` msg="worker (\w+).* worker=(\S+) .* start_number=(\d+) `)

// quiet fails the test if the log has more than one line of a worker's start, or
// of its end, at a level that is shown by default, or says of a server what it
// has said just before.
func (s *supervisor) quiet() {
	s.t.Helper()
	said, server := map[string]int{}, ""
	for l := range strings.Lines(s.log.String()) {
		_, what, _ := strings.Cut(l, " msg=")
		switch m := workerLine.FindStringSubmatch(l); {
		case strings.Contains(l, "level=DEBUG"), strings.Contains(l, " run="): // the latter are a worker's own words
		case m != nil:
			change := m[2] + " " + m[3] + " ended" // it "exited" or "was terminated"
			if m[1] == "started" {
				change = m[2] + " " + m[3] + " started"
			}
			if said[change]++; said[change] == 2 {
				s.t.Errorf("a second line tells that %s: %s", change, l)
			}
		case strings.HasPrefix(what, `"server `):
			state, _, _ := strings.Cut(what, " server=")
			if state == server {
				s.t.Errorf("told twice in a row: %s", state)
			}
			server = state
		}
	}
	if len(said) == 0 {
		s.t.Error("the log tells of no worker")
	}
}
