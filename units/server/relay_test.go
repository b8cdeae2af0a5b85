package server

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// A relay stands for the network between a watcher and servers: it takes TCP
// connections on an address of its own and passes them on to the server it is
// pointed at. One that is cut passes nothing more on and says nothing, neither
// to old connections nor to new ones.
type relay struct {
	listen net.Listener
	group  sync.WaitGroup

	mu    sync.Mutex
	to    *cluster
	cut   chan struct{} // closed while it is not cut
	conns []net.Conn
}

func newRelay(t *testing.T, to *cluster) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		lacking(t, "a TCP socket on 127.0.0.1")
	}
	r := &relay{listen: l, to: to, cut: make(chan struct{})}
	close(r.cut)
	r.group.Go(r.serve)
	t.Cleanup(func() {
		l.Close()
		r.join(to)
		r.drop()
		r.group.Wait()
	})
	return r
}

func (r *relay) conninfo() string {
	host, port, _ := net.SplitHostPort(r.listen.Addr().String())
	return fmt.Sprintf("host=%s port=%s user=postgres dbname=postgres sslmode=disable", host, port)
}

// part cuts the network.
func (r *relay) part() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = make(chan struct{})
}

// join mends it, with to on the other side for whoever connects from now on.
func (r *relay) join(to *cluster) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
	select {
	case <-r.cut:
	default:
		close(r.cut)
	}
}

// drop ends every connection, as routers do that have forgotten them.
func (r *relay) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

func (r *relay) now() (to *cluster, passes <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.to, r.cut
}

func (r *relay) serve() {
	for {
		in, err := r.listen.Accept()
		if err != nil {
			return
		}
		r.group.Go(func() { r.carry(in) })
	}
}

func (r *relay) carry(in net.Conn) {
	defer in.Close()
	_, passes := r.now()
	<-passes
	to, _ := r.now()
	out, err := net.Dial("unix", filepath.Join(to.dir, ".s.PGSQL.5432"))
	if err != nil {
		return // as a port where nobody listens, but for the connection
	}
	defer out.Close()
	r.mu.Lock()
	r.conns = append(r.conns, in, out)
	r.mu.Unlock()
	r.group.Go(func() { r.copy(out, in) })
	r.copy(in, out)
}

func (r *relay) copy(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		_, passes := r.now()
		<-passes
		if _, e := to.Write(buf[:n]); err != nil || e != nil {
			return
		}
	}
}

// A network that fails between us and a server: unreachable after the timeout,
// nothing is claimed meanwhile, and what is so afterwards counts. When the
// address has gone to another server, the session of before, which may well
// go on, says nothing any more.
func TestNetworkPartition(t *testing.T) {
	primary := newCluster(t)
	primary.start()
	standby := primary.standby()
	standby.start()
	standby.connect()
	net := newRelay(t, primary)
	// The directory is only there to have the watcher ask now: over a network it
	// asks every 15 s.
	dir := t.TempDir()
	ask := func() {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, pidFile), []byte(time.Now().String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := watch(t, Config{Conninfo: net.conninfo(), DataDirectory: dir, Timeout: time.Second})
	r.await(Running)
	for _, dropped := range []bool{false, true} {
		net.part()
		ask()
		if s := r.await(Unreachable, Down, Stopping); s.Kind != Unreachable || s.Phase() != units.PhaseUnknown {
			t.Errorf("got %+v, want nothing to be claimed", s)
		}
		if dropped {
			net.drop()
		}
		net.join(primary)
		if s := r.await(Running, HotStandby, Down); s.Kind != Running || s.Crash || s.Demoted {
			t.Errorf("dropped %v: got %+v", dropped, s)
		}
	}
	net.part()
	ask()
	r.await(Unreachable)
	net.join(standby) // the address is the standby's now, and the old session goes on
	if s := r.await(Running, HotStandby); s.Kind != HotStandby || !s.Demoted {
		t.Errorf("got %+v, want the role of who has the address", s)
	}
	standby.promoteByFile()
	if s := r.await(Running); s.Demoted {
		t.Errorf("got %+v", s)
	}
}

// A session over a network that ends while the way is there: nobody knows
// whether that was the server's end, until it answers or does not.
func TestConnectionReset(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.connect()
	net := newRelay(t, c)
	r := watch(t, Config{Conninfo: net.conninfo(), Timeout: 300 * time.Millisecond})
	r.await(Running)
	net.drop()
	if s := r.await(Unknown, Down, Stopping, CrashRestart); s.Phase() != units.PhaseUnknown {
		t.Errorf("got %+v, want nothing to be claimed", s)
	}
	if s := r.await(Running); s.Crash {
		t.Errorf("got %+v", s)
	}
}

// Every time that is told has the monotonic clock's reading, by which alone Go
// computes with it: a step of the machine's clock moves nothing.
func TestTimesAreMonotonic(t *testing.T) {
	f := newFake(t, serveRole("on", "t"))
	r := watch(t, Config{Conninfo: f.conninfo()})
	first := r.await(HotStandby)
	f.set(serveRole("off", "f"))
	f.hangUp()
	for _, s := range []State{first, r.await(Running)} {
		if s.Since == s.Since.Round(0) {
			t.Errorf("%v since %v: the monotonic reading is missing", s.Kind, s.Since)
		}
	}
}
