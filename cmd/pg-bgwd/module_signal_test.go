package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ended is what a worker says that SIGTERM ends, with its SQLSTATE.
const ended = `FATAL:  57P01: terminating background worker`

// verbose has workers say the SQLSTATE of their errors.
const verbose = "settings = { log_error_verbosity = \"verbose\" }\n"

func (s *supervisor) strike(label string, signal syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(int(s.state(label, "running").MainPID), signal); err != nil {
		s.t.Fatal(err)
	}
}

// TestModuleSignalStorm: SIGTERM at any moment of a worker that queries, allocates
// and logs, with PostgreSQL's default handler and with die(), ends it with FATAL and
// code 1 (BGW-105). PGBGW_STORM is how often, in all; 150 by default.
func TestModuleSignalStorm(t *testing.T) {
	needModules(t)
	c := newCluster(t, "max_connections = 100") // a server under load is slow to see the last ones off
	c.start()
	again := append([]string{"restart_time", "0"}, withSession...)
	labels := []string{"default 1", "default 2", "default 3", "die 1", "die 2"}
	var workers strings.Builder
	for _, label := range labels {
		words := "unblock,connect:postgres,work"
		if strings.HasPrefix(label, "die") {
			words = "die," + words
		}
		workers.WriteString(moduleWorker(strings.ReplaceAll(label, " ", "-"), words, again...))
	}
	times := 150
	if n, err := strconv.Atoi(os.Getenv("PGBGW_STORM")); err == nil {
		times = n
	}
	s := beside(t, c.block("main")+modulePath()+verbose, workers.String())
	seen := map[string]uint64{}
	for n := 0; n < times; {
		s.wait("another start", func() bool {
			any := false
			for _, label := range labels {
				label = strings.ReplaceAll(label, " ", "-")
				w := s.worker(label)
				if w.StartNumber == seen[label] || w.MainPID == 0 {
					continue
				}
				if w.StartNumber > 1 && (w.ExitCode != 1 || w.ExitSignal != 0) {
					t.Fatalf("%s ended with code %d, signal %d: %s", label, w.ExitCode, w.ExitSignal, w.Reason)
				}
				any, seen[label] = true, w.StartNumber
				time.Sleep(rand.N(25 * time.Millisecond)) // any moment of its life
				if err := syscall.Kill(int(w.MainPID), syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				n++
			}
			return any
		})
	}
	s.poll("all ends", func() bool { return strings.Count(s.log.String(), "57P01") >= times })
	if log := s.log.String(); strings.Contains(log, "SIG") || strings.Contains(log, "PANIC") {
		t.Error("one of them crashed or was killed")
	}
	left := func() bool {
		return c.query("SELECT count(*) <= 5 FROM pg_stat_activity WHERE query LIKE '%repeat(%' AND pid <> pg_backend_pid() AND state = 'active'") == "t"
	}
	s.poll("no backend is left behind", left)
}

// TestModuleSignalPlaces: where PostgreSQL's worker ends at once, ours does: in its
// own code, in a system call, in a latch's wait, and in a query, which is cancelled.
func TestModuleSignalPlaces(t *testing.T) {
	needModules(t)
	c := newCluster(t)
	c.start()
	const long = "query:SELECT pg_sleep(1000)"
	ways := map[string]string{
		"spins": "unblock,spin", "sleeps": "unblock,sleep", "reads": "unblock,read", "waits": "unblock,wait",
	}
	var b strings.Builder
	for label, words := range ways {
		b.WriteString(moduleWorker(label, words))
	}
	b.WriteString(moduleWorker("queries", "unblock,connect:postgres,"+long, withSession...))
	b.WriteString(moduleWorker("dies", "die,unblock,connect:postgres,"+long, withSession...))
	b.WriteString(moduleWorker("cancels", "unblock,connect:postgres,canceled:SELECT pg_sleep(1000),query:SELECT 'goes on',exit:0", withSession...))
	s := beside(t, c.block("main")+modulePath()+verbose, b.String())
	for label := range ways {
		s.says(fmt.Sprintf("%s: %s", label, label))
		s.strike(label, syscall.SIGTERM)
	}
	const sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()"
	s.poll("three long queries", func() bool { return c.query(sleeping) == "3" })
	if err := s.client.Terminate(s.ctx(), s.worker("queries").Handle); err != nil {
		t.Fatal(err)
	}
	s.strike("dies", syscall.SIGTERM)
	s.strike("cancels", syscall.SIGINT)
	s.says("cancels: 57014 canceling statement due to user request")
	s.exits(0, "cancels")
	s.says("cancels: goes on")
	s.exits(1, "spins", "sleeps", "reads", "waits", "queries", "dies")
	s.poll("no query is left", func() bool { return c.query(sleeping) == "0" })
	if n := strings.Count(s.log.String(), ended); n != 6 {
		t.Errorf("%d have said why they ended", n)
	}
}

// TestModuleNoise: a query is cancelled, and a worker ended, while the server has
// much to tell of it; who tells is libpq, which is not left in the middle.
func TestModuleNoise(t *testing.T) {
	needModules(t)
	c := newCluster(t)
	c.start()
	const noise = "DO 'BEGIN LOOP RAISE WARNING ''noise''; PERFORM pg_sleep(.001); END LOOP; END'"
	s := beside(t, c.block("main")+modulePath(),
		moduleWorker("cancels", "unblock,connect:,canceled:"+noise+",query:VALUES(1)", withSession...)+
			moduleWorker("ends", "unblock,connect:postgres,query:"+noise, withSession...))
	const noisy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active'"
	s.poll("both make noise", func() bool { return c.query(noisy) == "2" })
	s.says("WARNING:  noise")
	s.strike("cancels", syscall.SIGINT)
	s.says("cancels: 57014 canceling statement due to user request")
	s.exits(0, "cancels")
	s.says("cancels: 1")
	s.strike("ends", syscall.SIGTERM)
	s.exits(1, "ends")
}

// TestModuleServerHangs: a server that has stopped answers nobody, and a worker
// that waits for it ends all the same.
func TestModuleServerHangs(t *testing.T) {
	needModules(t)
	t.Parallel() // it waits for five seconds
	c := newCluster(t)
	c.start()
	s := beside(t, c.block("main")+modulePath(),
		moduleWorker("queries", "unblock,connect:postgres,query:SELECT pg_sleep(1000)", withSession...)+
			moduleWorker("dies", "die,unblock,connect:postgres,query:SELECT pg_sleep(1000)", withSession...))
	const sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()"
	s.poll("long queries", func() bool { return c.query(sleeping) == "2" })
	c.signal(syscall.SIGSTOP)
	defer c.signal(syscall.SIGCONT)
	s.strike("queries", syscall.SIGTERM)
	s.strike("dies", syscall.SIGTERM)
	s.exits(1, "queries", "dies")
}

// TestModuleListens: what is notified reaches a worker that waits for its latch
// without end, and a session that is gone ends it (BGW-132, a deviation: PostgreSQL
// refuses LISTEN to its workers).
func TestModuleListens(t *testing.T) {
	needModules(t)
	c := newCluster(t)
	c.start()
	s := beside(t, c.block("main")+modulePath(), moduleWorker("ear", "unblock,connect:postgres,query:LISTEN by_spi,listen:News Desk", withSession...))
	s.says("ear: listens")
	c.query("NOTIFY by_spi")
	s.logs(`ear: by_spi brought ""`)
	for i := range 3 {
		text := fmt.Sprintf("number %d", i)
		c.query(`NOTIFY "News Desk", '` + text + `'`)
		s.logs(`ear: News Desk brought "` + text + `"`)
	}
	c.query(`BEGIN; NOTIFY "News Desk", 'one'; NOTIFY "News Desk", 'two'; COMMIT`)
	s.logs(`brought "one"`)
	s.logs(`brought "two"`)
	c.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'rows type%'")
	s.exits(1, "ear")
	s.says("FATAL:  connection to the server was lost")
}
