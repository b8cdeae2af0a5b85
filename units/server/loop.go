package server

import (
	"context"
	"sync"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// A loop is a running watcher. All of it but the channels belongs to the
// goroutine of [Watcher.Run].
type loop struct {
	*Watcher
	ctx      context.Context
	group    sync.WaitGroup // of every goroutine that Run started
	hints    *hints
	answers  chan answer
	messages chan message
	timer    *time.Timer
	budget   budget

	seen    seen
	state   State // as last told
	told    bool  // something was
	session *session
	master  *postmaster // of a local server
	reached units.Phase // by master
	primary bool        // the server was Running at some time
	version string      // as the newest session was told
	where   string      // as the newest answer says

	asking bool      // a question is out
	askBy  time.Time // when the next is due, whatever is the answer to one that is out; zero: that says
	local  bool      // the server is reached over a Unix socket
	hinted bool      // its data directory is watched

	eager   time.Time // when something last happened that makes a change likely
	hint    time.Time // when files last foretold a promotion
	suspect time.Time // when Suspect was heeded last
	askAt   time.Time
	roleAt  time.Time
	countAt time.Time
}

func (l *loop) run() {
	l.eager = time.Now()
	for {
		now := time.Now()
		l.act(now)
		l.timer.Reset(l.next(now).Sub(now))
		select {
		case <-l.ctx.Done():
			return
		case a := <-l.answers:
			l.onAnswer(a, time.Now())
		case m := <-l.messages:
			l.onMessage(m, time.Now())
		case <-l.hints.channel():
			l.onHint(time.Now())
		case <-l.death():
			l.onDeath(time.Now())
		case <-l.wake:
			l.onWake(time.Now())
		case <-l.timer.C:
		}
		l.settle(time.Now())
	}
}

// close gives back everything and waits for every goroutine.
func (l *loop) close() {
	l.timer.Stop()
	l.hints.close()
	if l.session != nil {
		l.session.close()
	}
	l.group.Wait()
	l.master.close()
}

// death is closed when the postmaster that is held has exited.
func (l *loop) death() <-chan struct{} {
	if l.master == nil {
		return nil
	}
	return l.master.dead
}

// ask opens a session or finds out why none can be had. Only one question is
// out at a time.
func (l *loop) ask() {
	l.asking, l.askBy = true, time.Time{}
	known := l.master
	l.group.Go(func() {
		a := ask(l.ctx, l.config, known, l.hints)
		select {
		case l.answers <- a:
		case <-l.ctx.Done():
			if a.session != nil {
				a.session.close()
			}
			if a.peer != known {
				a.peer.close()
			}
		}
	})
}

func (l *loop) onAnswer(a answer, now time.Time) {
	l.asking, l.local, l.hinted = false, a.local, a.hinted
	if a.peer != nil && a.peer != l.master {
		l.master.close()
		l.master, l.reached, l.seen.wasUp = a.peer, units.PhaseUnknown, false
	}
	// Both say less than how the session ended.
	if a.reply != hungUp && (a.reply != notNow || l.seen.ended != crashed) {
		l.seen.ended = noReply
	}
	if a.reply != l.seen.answer {
		l.eager = now
	}
	l.seen.answer, l.seen.text, l.where = a.reply, a.text, a.where
	if a.session != nil {
		l.adopt(a.session, now)
	}
	switch a.reply {
	case accepted:
		l.seen.wasUp = true
	case refused, startingUp, notConsistent:
		l.seen.wasUp = false
	}
	if a.reply != shuttingDown && a.reply != hungUp && a.reply != silent {
		l.seen.left = units.PhaseUnknown
	}
	l.askAt = now.Add(l.interval(now))
	if !l.askBy.IsZero() && l.askBy.Before(l.askAt) {
		l.askAt = l.askBy
	}
}

// adopt holds s in place of the session held so far, unless that one is as
// good: a session that has outlived silence may belong to a server that is no
// more, and of two that report different roles the newer is right.
func (l *loop) adopt(s *session, now time.Time) {
	old := l.session
	if old != nil && old.known && l.state.Kind != Unreachable && (!s.known || old.standby == s.standby) {
		s.close()
		return
	}
	if old != nil {
		old.close()
	}
	l.session, l.seen.clients, l.version = s, -1, s.version
	l.group.Go(func() { s.read(l.ctx, l.messages) })
	if !s.known {
		if err := s.askRole(now); err != nil {
			l.drop(unclear, "the held session ended: "+cause(err), now)
		}
	}
}

// drop ends the held session and notes what its end says until the next answer.
func (l *loop) drop(why reply, text string, now time.Time) {
	l.session.close()
	l.session = nil
	if why == unclear && l.seen.answer == shuttingDown { // a stop is never taken back
		why = shuttingDown
	}
	l.seen.ended, l.seen.endText = why, text
	l.askSoon(now)
}

func (l *loop) onMessage(m message, now time.Time) {
	s := l.session
	if m.session != s { // it was dropped meanwhile
		return
	}
	switch {
	case m.lost:
		l.drop(unclear, "the held session ended: "+m.text, now)
	case m.code == codeCrash:
		l.drop(crashed, "the held session was ended by a crash: "+m.text, now)
	case m.code == codeAdmin:
		l.drop(unclear, "the held session was ended: "+m.text, now)
	case m.role != "":
		s.standby, s.known = m.role == "on", true
	case m.row != nil && len(s.queue) > 0:
		l.onRow(s, m.row)
	case m.idle && s.answered(now) == countQuery:
		l.seen.clients = s.clients(l.config.IsOurs)
		s.rows = nil
	}
}

func (l *loop) onRow(s *session, row []string) {
	switch s.queue[0] {
	case roleQuery:
		s.standby, s.known = row[0] == "t", row[0] != nullText
	case countQuery:
		if len(s.rows) < maxRows {
			s.rows = append(s.rows, row)
		}
	}
}

// maxRows bounds what is kept of a count; PostgreSQL has at most 262,143
// backends, and a count that high need not be exact.
const maxRows = 10_000

// onHint asks now, or soon if there were many hints. What has changed in which
// file is of no interest.
func (l *loop) onHint(now time.Time) {
	when := now.Add(l.budget.take(now))
	l.eager = now
	if l.hints.promotion.Swap(false) {
		l.hint, l.roleAt = now, now
	}
	l.askSoon(when)
}

// askSoon has the server asked at when, at the latest. The answer to a question
// that is out already does not count for that.
func (l *loop) askSoon(when time.Time) {
	if when.Before(l.askAt) {
		l.askAt = when
	}
	if l.askBy.IsZero() || when.Before(l.askBy) {
		l.askBy = when
	}
}

// suspectEvery is the least time between questions that Suspect leads to.
const suspectEvery = time.Second

func (l *loop) onWake(now time.Time) {
	if !l.suspected.Swap(false) || l.suspect.After(now) { // that one is still to come
		return
	}
	if l.suspect = l.suspect.Add(suspectEvery); l.suspect.Before(now) {
		l.suspect = now
	}
	l.askSoon(l.suspect)
}

func (l *loop) onDeath(now time.Time) {
	l.master.close()
	l.master, l.reached = nil, units.PhaseUnknown
	l.eager = now
	l.askSoon(now)
}
