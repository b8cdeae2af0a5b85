package server

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// A fake is a server that says what the test tells it to. Each connection is
// answered by the script that is set at the time.
type fake struct {
	t      testing.TB
	dir    string
	listen net.Listener
	group  sync.WaitGroup

	mu     sync.Mutex
	script func(*talk)
	conns  []net.Conn
}

// A talk is one connection to a fake, its startup message read.
type talk struct {
	*pgproto3.Backend
	conn net.Conn
}

func newFake(t testing.TB, script func(*talk)) *fake {
	t.Helper()
	dir, err := os.MkdirTemp("", "fakepg")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, dir: dir, listen: l, script: script}
	f.group.Go(f.serve)
	t.Cleanup(func() {
		l.Close()
		f.hangUp()
		f.group.Wait()
		os.RemoveAll(dir)
	})
	return f
}

func (f *fake) conninfo() string { return "host=" + f.dir + " port=5432 user=u dbname=d" }

// set changes what connections are answered from now on.
func (f *fake) set(script func(*talk)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = script
}

// hangUp closes all connections.
func (f *fake) hangUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
}

func (f *fake) serve() {
	for {
		conn, err := f.listen.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns = append(f.conns, conn)
		script := f.script
		f.mu.Unlock()
		f.group.Go(func() {
			defer conn.Close()
			b := pgproto3.NewBackend(conn, conn)
			switch m, err := b.ReceiveStartupMessage(); m.(type) {
			case *pgproto3.CancelRequest:
				f.t.Error("a watcher cancels what it has not asked for")
			default:
				if err == nil {
					script(&talk{b, conn})
				}
			}
		})
	}
}

// say sends an error and hangs up.
func say(code, text string) func(*talk) {
	return func(c *talk) {
		c.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: text})
		c.Flush()
	}
}

// greet lets the client in and reports role, unless it is "".
func (c *talk) greet(role string) {
	c.Send(&pgproto3.AuthenticationOk{})
	if role != "" {
		c.Send(&pgproto3.ParameterStatus{Name: roleParameter, Value: role})
	}
	c.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	c.Flush()
}

// serveRole is a session that answers as a server of that role; with an old
// one, which reports nothing, by rows.
func serveRole(role, row string) func(*talk) {
	return func(c *talk) {
		c.greet(role)
		for {
			msg, err := c.Receive()
			if err != nil {
				return
			}
			if q, ok := msg.(*pgproto3.Query); ok {
				c.answer(q.String, row)
			}
		}
	}
}

func (c *talk) answer(q, row string) {
	if q == roleQuery {
		c.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("r"), DataTypeOID: 16, DataTypeSize: 1, TypeModifier: -1}}})
		c.Send(&pgproto3.DataRow{Values: [][]byte{[]byte(row)}})
		c.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
	} else {
		c.Send(&pgproto3.EmptyQueryResponse{})
	}
	c.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	c.Flush()
}

// silence answers nothing until the client gives up.
func silence(c *talk) {
	var b [1]byte
	_, _ = c.conn.Read(b[:])
}
