package server

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/pg-bgw/pg-bgw/units"
)

// Every answer of the evidence table, as a server says it.
func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script func(*talk)
		kind   Kind
		phase  units.Phase
	}{
		{"starting", say("57P03", "the database system is starting up"), Starting, units.PhaseStarted},
		{"not consistent", say("57P03", "the database system is not yet accepting connections"), Recovering, units.PhaseStarted},
		{"hot_standby off", say("57P03", "the database system is not accepting connections"), Recovering, units.PhaseStarted},
		{"stopping", say("57P03", "the database system is shutting down"), Stopping, units.PhaseDown},
		{"crash", say("57P03", "the database system is in recovery mode"), CrashRestart, units.PhaseCrashed},
		{"another language", say("57P03", "das Datenbanksystem startet"), Starting, units.PhaseStarted},
		{"full", say("53300", "sorry, too many clients already"), Unknown, units.PhaseConsistent},
		{"no hba line", say("28000", "no pg_hba.conf entry"), Unknown, units.PhaseConsistent},
		{"password", say("28P01", "password authentication failed"), Unknown, units.PhaseConsistent},
		{"no database", say("3D000", "database does not exist"), Unknown, units.PhaseConsistent},
		{"not granted", say("42501", "permission denied for database"), Unknown, units.PhaseConsistent},
		{"out of memory", say("53200", "out of memory"), Unknown, units.PhaseConsistent},
		{"hang-up", func(*talk) {}, Unknown, units.PhaseUnknown},
		{"silence", silence, Unreachable, units.PhaseUnknown},
		{"primary", serveRole("off", "f"), Running, units.PhaseRunning},
		{"standby", serveRole("on", "t"), HotStandby, units.PhaseConsistent},
		{"primary that reports nothing", serveRole("", "f"), Running, units.PhaseRunning},
		{"standby that reports nothing", serveRole("", "t"), HotStandby, units.PhaseConsistent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.script)
			s := watch(t, Config{Label: "x", Conninfo: f.conninfo(), Timeout: 300 * time.Millisecond}).await(tt.kind)
			if s.Phase() != tt.phase || s.Label != "x" || s.Evidence == "" {
				t.Errorf("got %+v, want phase %v and evidence", s, tt.phase)
			}
		})
	}
}

// What is no PostgreSQL, or one that means harm, is neither believed nor able
// to do any.
func TestHostileServers(t *testing.T) {
	raw := func(b string) func(*talk) {
		return func(c *talk) { c.conn.Write([]byte(b)); silence(c) }
	}
	for name, script := range map[string]func(*talk){
		"HTTP":               raw("HTTP/1.0 400 Bad Request\r\n\r\n"),
		"zeros":              raw(strings.Repeat("\x00", 4096)),
		"huge message":       raw("R\x7f\xff\xff\xff"),
		"negative length":    raw("E\xff\xff\xff\xff"),
		"ready at once":      raw("Z\x00\x00\x00\x05I"),
		"half an error":      raw("E\x00\x00\x00\x20SFATAL"),
		"control characters": say("XX000", "a\nb\x1b[31m\x00c"+strings.Repeat("x", 5000)),
		"endless parameters": func(c *talk) {
			c.Send(&pgproto3.AuthenticationOk{})
			for c.Flush() == nil {
				c.Send(&pgproto3.ParameterStatus{Name: "a", Value: strings.Repeat("b", 60000)})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, script)
			s := watch(t, Config{Conninfo: f.conninfo(), Timeout: 200 * time.Millisecond}).await(Unknown, Unreachable, Running, HotStandby)
			if s.Kind == Running || s.Kind == HotStandby || s.Phase() == units.PhaseRunning {
				t.Errorf("believed it: %+v", s)
			}
			if strings.ContainsAny(s.Evidence, "\n\x1b\x00") || len(s.Evidence) > 600 {
				t.Errorf("evidence %q is not fit for a log", s.Evidence)
			}
		})
	}
}

// A session that sends what nobody asked for does not confuse the watcher.
func TestBabblingSession(t *testing.T) {
	f := newFake(t, func(c *talk) {
		c.greet("on")
		c.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		c.Send(&pgproto3.DataRow{Values: [][]byte{nil}})
		c.Send(&pgproto3.DataRow{})
		c.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		c.Send(&pgproto3.NoticeResponse{Severity: "WARNING", Code: "01000", Message: "well"})
		c.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "22012", Message: "division by zero"})
		c.Send(&pgproto3.ParameterStatus{Name: "TimeZone", Value: "UTC"})
		c.Send(&pgproto3.ParameterStatus{Name: roleParameter, Value: "off"})
		c.Flush()
		silence(c)
	})
	r := watch(t, Config{Conninfo: f.conninfo()})
	r.await(HotStandby)
	r.await(Running)
}

// A crash notice is believed before any answer, and a stop that was announced
// is not taken for an unknown end.
func TestEndOfSession(t *testing.T) {
	end := make(chan struct{}) // of every connection: the watcher may have asked on others than its session
	f := newFake(t, func(c *talk) {
		c.greet("off")
		<-end
		c.Send(&pgproto3.NoticeResponse{Severity: "WARNING", Code: "57P02", Message: "because of crash of another server process"})
		c.Flush()
	})
	finish := sync.OnceFunc(func() { close(end) })
	t.Cleanup(finish)
	r := watch(t, Config{Conninfo: f.conninfo()})
	r.await(Running)
	f.set(silence)
	finish()
	if s := r.await(CrashRestart, Unknown); s.Kind != CrashRestart {
		t.Errorf("got %+v", s)
	}
}

// A server that cannot be reached any more keeps its session from being
// believed: when it answers again, the answer counts.
func TestPartition(t *testing.T) {
	f := newFake(t, serveRole("off", "f"))
	r := watch(t, Config{Conninfo: f.conninfo(), Timeout: time.Second})
	r.await(Running)
	f.set(silence)
	r.await(Unreachable)
	f.set(serveRole("on", "t"))
	if s := r.await(HotStandby, Running); s.Kind != HotStandby || !s.Demoted {
		t.Errorf("got %+v, want the newer evidence", s)
	}
}

// TLS that cannot be agreed upon shows a server that is up, and what to mend.
func TestTLSRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		lacking(t, "a TCP socket on 127.0.0.1")
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			var b [8]byte
			conn.Read(b[:])
			conn.Write([]byte("N"))
			conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	r := watch(t, Config{Conninfo: "host=127.0.0.1 sslmode=require user=u port=" + port})
	if s := r.await(Unknown); s.Phase() != units.PhaseStarted || !strings.Contains(s.Evidence, "TLS") {
		t.Errorf("got %+v", s)
	}
}

// Nobody behind a TCP port, and a name that does not exist.
func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		lacking(t, "a TCP socket on 127.0.0.1")
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	watch(t, Config{Conninfo: "host=127.0.0.1 user=u port=" + port}).await(Down)
	watch(t, Config{Conninfo: "host=name.invalid user=u", Timeout: time.Second}).await(Unreachable)
}

// A session that does not tell its role is no evidence, and is replaced by one
// that does.
func TestRoleRefused(t *testing.T) {
	f := newFake(t, func(c *talk) {
		c.greet("")
		for {
			if _, err := c.Receive(); err != nil {
				return
			}
			c.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "42501", Message: "permission denied for function"})
			c.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			c.Flush()
		}
	})
	r := watch(t, Config{Conninfo: f.conninfo()})
	if s := r.await(Unknown, Running, HotStandby); s.Kind != Unknown || s.Phase() != units.PhaseUnknown {
		t.Errorf("got %+v", s)
	}
	f.set(serveRole("", "f"))
	r.await(Running)
}

// From 15 on a primary in crash recovery says what a standby says before it is
// consistent. That is a demotion only where a file says so.
func TestCrashRecoveryIsNoDemotion(t *testing.T) {
	for _, standby := range []bool{false, true} {
		dir := t.TempDir()
		f := newFake(t, serveRole("off", "f"))
		r := watch(t, Config{Conninfo: f.conninfo(), DataDirectory: dir})
		r.await(Running)
		if standby {
			if err := os.WriteFile(filepath.Join(dir, standbySignal), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		f.set(say("57P03", "the database system is not yet accepting connections"))
		f.hangUp()
		if s := r.await(Recovering); s.Demoted != standby || s.Phase().Base() != units.PhaseStarted {
			t.Errorf("standby.signal %v: got %+v", standby, s)
		}
		f.set(serveRole("off", "f"))
		if s := r.await(Running); s.Demoted {
			t.Errorf("got %+v", s)
		}
	}
}
