package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// reply is what kind of answer an attempt to open a session got.
type reply uint8

const (
	noReply       reply = iota // none yet
	accepted                   // a session
	startingUp                 // 57P03: PM_STARTUP
	notConsistent              // 57P03: PM_RECOVERY
	shuttingDown               // 57P03: a stop was requested
	crashed                    // 57P03: crash recovery
	notNow                     // 57P03 in words that are not English
	full                       // 53300: sessions are accepted, but there are too many
	denied                     // sessions are accepted, but not ours
	insecure                   // the server answers, but TLS cannot be agreed upon
	refused                    // nobody listens
	silent                     // no answer in time
	noRoute                    // no way to the server
	hungUp                     // the connection was closed on us; somebody has listened
	unclear                    // anything else: it says nothing about the server
)

// An answer is what one attempt found.
type answer struct {
	reply   reply
	text    string // evidence, for people
	where   string // what was asked, as of target.describe; empty if that is not known
	session *session
	peer    *postmaster // of a local server, unless it could not be held
	local   bool        // over a Unix socket
	hinted  bool        // changes in the data directory are heard of
}

// ask tries once to open a session. known is the postmaster that is held
// already. It returns within the timeout of the configuration.
func ask(ctx context.Context, c Config, known *postmaster, h *hints) answer {
	t, err := c.resolve()
	if err != nil {
		return answer{reply: unclear, text: oneLine(err.Error())}
	}
	hinted := h.arm(c.DataDirectory)
	if t.socket != "" {
		h.arm(filepath.Dir(t.socket))
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	a := &attempt{target: t, known: known}
	s, err := a.connect(ctx)
	found := answer{reply: accepted, text: "accepts sessions at " + t.address, where: t.describe(), session: s, local: t.socket != "", hinted: hinted}
	if err != nil {
		found.reply, found.text = a.judge(ctx, err)
	}
	found.peer = a.peer
	return found
}

// An attempt keeps how far it got, by which errors without a type of their
// own are told apart.
type attempt struct {
	target *target
	known  *postmaster
	peer   *postmaster
	dialed bool // the socket is connected
	ready  bool // TLS, if any, is agreed upon
}

// attemptKey marks the contexts of an attempt's own connections.
type attemptKey struct{}

var errNoCancel = errors.New("there is no query to cancel")

func (a *attempt) connect(ctx context.Context) (*session, error) {
	conn, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	return newSession(conn, a.target.config.RuntimeParams["application_name"])
}

func (a *attempt) open(ctx context.Context) (*pgconn.PgConn, error) {
	p := a.target.config
	dial := p.DialFunc
	p.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if ctx.Value(attemptKey{}) != a { // a request to cancel, by which pgconn ends a connection that failed
			return nil, errNoCancel
		}
		a.dialed, a.ready = false, false
		before := ticks()
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		a.dialed = true
		if network != "unix" {
			return conn, nil
		}
		if err := a.meet(conn, before); err != nil {
			conn.Close()
			return nil, err
		}
		return conn, nil
	}
	p.AfterNetConnect = func(_ context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
		a.ready = true
		return conn, nil
	}
	return pgconn.ConnectConfig(context.WithValue(ctx, attemptKey{}, a), p)
}

// meet holds the process that listens on the other side of conn, which was
// made after the tick dialed.
func (a *attempt) meet(conn net.Conn, dialed int64) error {
	peer, err := peerOf(conn)
	if err != nil {
		return nil // a hint less
	}
	if want := a.target.settings["requirepeer"]; want != "" && !peer.isUser(want) {
		return &peerError{want: want, uid: peer.uid}
	}
	if a.known.is(peer.pid) {
		a.peer = a.known
		return nil
	}
	a.peer = hold(conn, peer, dialed)
	return nil
}

// A peerError says that somebody else listens than requirepeer demands.
type peerError struct {
	want string
	uid  uint32
}

func (e *peerError) Error() string {
	return fmt.Sprintf("requirepeer: the socket belongs to user id %d, not to %q", e.uid, e.want)
}

// judge says what err tells about the server.
func (a *attempt) judge(ctx context.Context, err error) (reply, string) {
	t := a.target
	var pg *pgconn.PgError
	var peer *peerError
	switch {
	case errors.As(err, &pg):
		return judgeCode(pg, t)
	case errors.As(err, &peer):
		return unclear, peer.Error()
	case ctx.Err() != nil || pgconn.Timeout(err):
		return silent, fmt.Sprintf("no answer from %s within %v", t.address, t.timeout)
	case !a.dialed:
		return judgeDial(err, t)
	case !a.ready && !lost(err):
		return insecure, fmt.Sprintf("%s answers, but TLS fails: %s; mend sslmode, sslrootcert or the server's certificate", t.address, cause(err))
	case lost(err):
		return hungUp, fmt.Sprintf("%s hung up without an answer", t.address)
	default:
		return unclear, fmt.Sprintf("%s does not answer as PostgreSQL does: %s", t.address, cause(err))
	}
}

// judgeDial says what it means that the socket could not be connected.
func judgeDial(err error, t *target) (reply, string) {
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ENOENT):
		return refused, "there is no socket " + t.address
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused, "nobody listens at " + t.address
	case errors.Is(err, syscall.EAGAIN): // a Unix socket's backlog is full
		return silent, "so many wait at " + t.address + " already that nobody else may"
	case errors.Is(err, os.ErrPermission):
		return unclear, "may not connect to " + t.address + "; mend unix_socket_permissions, unix_socket_group or the directory's mode"
	case errors.As(err, &dns):
		return noRoute, fmt.Sprintf("cannot resolve %s: %s", dns.Name, dns.Err)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.ENETDOWN),
		errors.Is(err, syscall.EHOSTDOWN), errors.Is(err, syscall.ETIMEDOUT):
		return noRoute, fmt.Sprintf("no way to %s: %s", t.address, cause(err))
	default:
		return unclear, fmt.Sprintf("cannot connect to %s: %s", t.address, cause(err))
	}
}

// SQLSTATEs that are told apart (PostgreSQL's documentation, appendix A).
const (
	codeTooMany     = "53300"
	codeNotNow      = "57P03"
	codeCrash       = "57P02"
	codeAdmin       = "57P01"
	codeNoDatabase  = "3D000"
	codeNoPrivilege = "42501"
	classAuth       = "28"
)

// judgeCode says what an error of the server tells. All but those of 57P03
// come from a process that was let past the postmaster's check of its own
// state, so they prove that sessions are accepted (ProcessStartupPacket comes
// before authentication).
func judgeCode(e *pgconn.PgError, t *target) (reply, string) {
	said := fmt.Sprintf("%s said %s: %s", t.address, e.Code, oneLine(e.Message))
	user, db := t.config.User, t.config.Database
	switch {
	case e.Code == codeNotNow:
		return judgeNotNow(e.Message), said
	case e.Code == codeTooMany:
		return full, said + "; raise max_connections, or reserve some for pg-bgw"
	case strings.HasPrefix(e.Code, classAuth):
		return denied, fmt.Sprintf("%s; mend role %q, its password, pg_hba.conf or pg_ident.conf", said, user)
	case e.Code == codeNoDatabase:
		return denied, fmt.Sprintf("%s; create database %q or name another in conninfo", said, db)
	case e.Code == codeNoPrivilege:
		return denied, fmt.Sprintf("%s; grant connect on database %q to %q", said, db, user)
	case e.Code == codeAdmin, e.Code == codeCrash:
		return unclear, said
	default:
		return denied, said
	}
}

// judgeNotNow tells the five cases of 57P03 apart. The server gives them no
// codes, so here and nowhere else its words are read; one that speaks another
// language gives notNow.
func judgeNotNow(message string) reply {
	switch message {
	case "the database system is starting up":
		return startingUp
	case "the database system is not yet accepting connections", // not consistent yet
		"the database system is not accepting connections": // hot_standby = off
		return notConsistent
	case "the database system is shutting down":
		return shuttingDown
	case "the database system is in recovery mode":
		return crashed
	default:
		return notNow
	}
}

// lost reports whether err is that of a connection that was closed on us.
func lost(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.As(err, &op) && !op.Timeout() && op.Op != "remote error" && op.Op != "local error"
}

// cause returns the innermost error of err on one line: pgconn's outer ones
// repeat the configuration.
func cause(err error) string {
	for {
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			inner := e.Unwrap()
			if inner == nil {
				return oneLine(err.Error())
			}
			err = inner
		case interface{ Unwrap() []error }:
			list := e.Unwrap()
			if len(list) == 0 {
				return oneLine(err.Error())
			}
			err = list[len(list)-1]
		default:
			return oneLine(err.Error())
		}
	}
}

// oneLine makes a server's words fit a log line: no control characters, at
// most 300 bytes.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "..."
	}
	return s
}

// patience is how long after its last sign a session's answer is waited for.
func (c Config) patience() time.Duration {
	if c.Timeout != 0 {
		return c.Timeout
	}
	return defaultTimeout
}
