package server

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// roleParameter is what the server reports its role in, from PostgreSQL 14 on.
// It is reported when it has changed and the session becomes idle, so an
// empty query is enough to be told.
const roleParameter = "in_hot_standby"

const (
	emptyQuery = ""
	roleQuery  = "SELECT pg_catalog.pg_is_in_recovery()" // where roleParameter is missing
	countQuery = "SELECT application_name, backend_type FROM pg_catalog.pg_stat_activity" +
		" WHERE usesysid IS NOT NULL AND pid <> pg_catalog.pg_backend_pid()" +
		" AND (backend_type IS NULL OR backend_type = 'client backend')"
)

// A session is a connection to the server. Its methods are called on one
// goroutine, except read, which runs on one of its own.
type session struct {
	conn  net.Conn
	front *pgproto3.Frontend

	application string    // application_name
	version     string    // server_version
	standby     bool      // as last reported
	reported    bool      // the server reports its role by itself
	known       bool      // standby says something
	queue       []string  // queries that are not answered yet
	since       time.Time // when the first of them could be answered
	rows        [][]string
}

// newSession takes over a connection that was just made.
func newSession(c *pgconn.PgConn, application string) (*session, error) {
	h, err := c.Hijack()
	if err != nil {
		return nil, fmt.Errorf("cannot take over the session: %w", err)
	}
	role, ok := h.ParameterStatuses[roleParameter]
	version := oneLine(h.ParameterStatuses["server_version"])
	return &session{conn: h.Conn, front: h.Frontend, application: application, version: version, standby: role == "on", reported: ok, known: ok}, nil
}

// query sends q, which counts as unanswered from now on.
func (s *session) query(q string, now time.Time) error {
	b, err := (&pgproto3.Query{String: q}).Encode(nil)
	if err != nil {
		return err
	}
	if len(s.queue) == 0 {
		s.since = now
	}
	s.queue = append(s.queue, q)
	if err := s.conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	_, err = s.conn.Write(b)
	return err
}

// askRole makes the server say whether it is in recovery.
func (s *session) askRole(now time.Time) error {
	if s.reported {
		return s.query(emptyQuery, now)
	}
	return s.query(roleQuery, now)
}

// answered takes the oldest query, which has been answered, and returns it.
func (s *session) answered(now time.Time) string {
	if len(s.queue) == 0 {
		return ""
	}
	q := s.queue[0]
	s.queue, s.since = s.queue[1:], now
	return q
}

// clients counts the sessions of others in what countQuery gave; -1 if some
// of it was not shown to us. A row without a type is that of another role's
// process, a client or not. Two watchers of one server do not count each other:
// each would wait for the other to leave.
func (s *session) clients(isOurs func(string) bool) int {
	n := 0
	for _, row := range s.rows {
		switch {
		case len(row) != 2:
			return -1
		case row[0] == s.application, isOurs != nil && isOurs(row[0]):
		case row[1] == nullText:
			return -1
		default:
			n++
		}
	}
	return n
}

// close ends the session as a client should.
func (s *session) close() {
	b, err := (&pgproto3.Terminate{}).Encode(nil)
	if err == nil && s.conn.SetWriteDeadline(time.Now().Add(100*time.Millisecond)) == nil {
		_, _ = s.conn.Write(b) // the server notices the end in any case
	}
	s.conn.Close()
}

// A message is what a session has said.
type message struct {
	session *session
	idle    bool     // ReadyForQuery
	role    string   // value of roleParameter, "on" or "off"
	row     []string // of a query's result; NULL is nullText
	code    string   // SQLSTATE of an error or a notice
	text    string   // its words
	lost    bool     // the session has ended; nothing follows
}

const nullText = "\x00"

// read hands over what the session says until it ends or ctx is done.
func (s *session) read(ctx context.Context, out chan<- message) {
	for {
		m, ok := s.receive()
		if ok || m.lost {
			m.session = s
			select {
			case out <- m:
			case <-ctx.Done():
				return
			}
		}
		if m.lost {
			return
		}
	}
}

// receive waits for one message; those that do not matter are not ok.
func (s *session) receive() (message, bool) {
	msg, err := s.front.Receive()
	if err != nil {
		return message{lost: true, text: cause(err)}, true
	}
	switch m := msg.(type) {
	case *pgproto3.ParameterStatus:
		return message{role: m.Value}, m.Name == roleParameter
	case *pgproto3.ReadyForQuery:
		return message{idle: true}, true
	case *pgproto3.ErrorResponse:
		return message{code: m.Code, text: oneLine(m.Message)}, true
	case *pgproto3.NoticeResponse:
		return message{code: m.Code, text: oneLine(m.Message)}, true
	case *pgproto3.DataRow:
		row := make([]string, len(m.Values))
		for i, v := range m.Values {
			row[i] = nullText
			if v != nil {
				row[i] = string(bytes.Clone(v))
			}
		}
		return message{row: row}, true
	default:
		return message{}, false
	}
}
