package supervise

import (
	"context"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// Run supervises until a shutdown has ended every worker and the Sink has been
// told. The end of ctx asks for a fast shutdown. It returns nil, or ErrCrashed
// when a crash was the reason (BGW-073). It may be called once.
func (s *Supervisor) Run(ctx context.Context) error {
	defer close(s.done)
	go s.starts.serve(s.done, s.launch)
	go s.hands.serve(s.done, s.act)
	published := make(chan struct{})
	go func() {
		defer close(published)
		s.news.drain(s.opts.Sink.Publish)
	}()
	s.loop(ctx)
	s.news.close()
	for { // the sink may ask us about what it is told
		select {
		case ev := <-s.events:
			s.step(ev)
		case <-published:
			if s.table.crashed {
				return ErrCrashed
			}
			return nil
		}
	}
}

// loop takes one event at a time until a shutdown has ended every worker.
func (s *Supervisor) loop(ctx context.Context) {
	canceled := ctx.Done()
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for !s.table.stopped() {
		if at, ok := s.table.next(); ok {
			timer.Reset(time.Until(at))
		} else {
			timer.Stop()
		}
		select {
		case <-canceled:
			canceled = nil // once
			s.step(shutdown{Fast})
		case <-timer.C:
			s.step(tick{})
		case ev := <-s.events:
			s.step(ev)
		}
	}
}

func (s *Supervisor) step(ev event) {
	for _, e := range s.table.step(time.Now(), ev) {
		s.hand(e)
	}
	s.news.starting(s.table.starting > 0)
}

// hand gives e to the queue that does it. Nothing here blocks.
func (s *Supervisor) hand(e effect) {
	switch e := e.(type) {
	case startEffect:
		s.starts.put(e.start)
	case signalEffect, killEffect:
		s.hands.put(e)
	case limitEffect:
		go func() { s.post(limited{e.run, e.proc.Limit(e.limits)}) }()
	case publishEffect:
		if s.opts.Show != nil && e.change.Kind.ofOne() {
			s.opts.Show(e.change.Info)
		}
		s.news.put(e.change)
	case replier:
		e.send()
	}
}

func (s *Supervisor) launch(st Start) {
	s.opts.Launcher.Start(st,
		func(p Process, err error) { s.post(started{st.Run, p, err}) },
		func(x units.Exit) { s.post(exited{st.Run, x}) })
}

// act signals. An error means that the process is gone, which its exit tells,
// or that the kernel refuses it, which the kill timeout answers.
func (s *Supervisor) act(e effect) {
	switch e := e.(type) {
	case signalEffect:
		if e.group {
			_ = e.proc.SignalGroup(e.signal)
		} else {
			_ = e.proc.Signal(e.signal)
		}
	case killEffect:
		_ = e.proc.Kill()
	}
}

// post hands ev to the loop, or drops it when Run has returned.
func (s *Supervisor) post(ev event) {
	select {
	case s.events <- ev:
	case <-s.done:
	}
}

// ask posts a request and waits for its answer; ok is false when Run has
// returned without one.
func ask[T any](s *Supervisor, ev event, reply chan T) (answer T, ok bool) {
	s.post(ev)
	select {
	case answer = <-reply:
		return answer, true
	case <-s.done:
	}
	select {
	case answer = <-reply:
		return answer, true
	default:
		return answer, false
	}
}
