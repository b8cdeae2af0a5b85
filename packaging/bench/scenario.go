package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// A scenario is measured once a round for each peer in turn.
type scenario struct {
	name   string
	rounds func(o options) int
	run    func(m *measuring, ctx context.Context, p peer) error
}

func allRounds(o options) int { return o.rounds }
func fewRounds(o options) int { return (min(o.rounds, 5) + 1) / 2 }
func notQuick(o options) int {
	if o.quick && o.scenarios == "" {
		return 0
	}
	return fewRounds(o)
}
func oneRound(options) int { return 1 }

// scenarios in the order in which they are run: what is judged comes first, in
// case the time runs out.
var scenarios = []scenario{
	{"register", allRounds, func(m *measuring, ctx context.Context, p peer) error {
		return m.register(ctx, p, "register", "worker-nolibc")
	}},
	{"restart", allRounds, (*measuring).restart},
	{"register-glibc", allRounds, func(m *measuring, ctx context.Context, p peer) error {
		return m.register(ctx, p, "register-glibc", "worker-glibc")
	}},
	{"up100", allRounds, func(m *measuring, ctx context.Context, p peer) error { return m.up(ctx, p, 100, "worker-nolibc") }},
	{"up500", notQuick, func(m *measuring, ctx context.Context, p peer) error { return m.up(ctx, p, 500, "worker-nolibc") }},
	{"thousand", fewRounds, (*measuring).thousand},
	{"terminate", allRounds, (*measuring).terminate},
	{"soak", oneRound, (*measuring).soak},
}

// measuring is one round of one scenario; the peers' values go to add.
type measuring struct {
	opt   options
	round int
	add   func(metric, peer string, values ...float64)
}

const (
	patience = 80 * time.Second      // longer than PostgreSQL's 60 s stall
	cool     = 5 * time.Millisecond  // between two single measurements
	settle   = 20 * time.Millisecond // from the last first instruction until all that the starts cost is spent
)

func micro(ns int64) float64 { return float64(ns) / 1e3 }

// fit is how many of n workers the limit on processes leaves to a peer.
func (m *measuring) fit(p peer, n int) int {
	return min(n, (m.opt.maxProcesses-50)/p.traits().perWorker)
}

// withWorkers runs body while n workers of p are up and old enough to be
// started again at once, and takes them down afterwards.
func withWorkers(ctx context.Context, p peer, n int, program string, body func() error) error {
	if err := p.prepare(ctx, n, program); err != nil {
		return err
	}
	if _, err := startAll(ctx, p, n); err != nil {
		return err
	}
	if err := aged(ctx, p); err != nil {
		return err
	}
	if err := body(); err != nil {
		return err
	}
	return stopAndReturn(ctx, p, n)
}

// stopAndReturn ends n workers and gives back what prepare took.
func stopAndReturn(ctx context.Context, p peer, n int) error {
	if err := aged(ctx, p); err != nil {
		return err
	}
	if err := p.stop(ctx, 0, n); err != nil {
		return fmt.Errorf("cannot stop the workers: %w", err)
	}
	return p.prepare(ctx, 0, "")
}

// startAll asks for workers 0 to n-1 and is the time from the request until
// the last one's first instruction, in microseconds.
func startAll(ctx context.Context, p peer, n int) (float64, error) {
	before := p.ledger().mark(0, n)
	asked, err := p.start(ctx, 0, n)
	if err != nil {
		return 0, fmt.Errorf("cannot start %d workers: %w", n, err)
	}
	if err := p.ledger().await(ctx, before); err != nil {
		return 0, err
	}
	return micro(p.ledger().last(0, n) - asked), nil
}

// aged waits until every worker has lived as long as its supervisor demands.
func aged(ctx context.Context, p peer) error {
	return pause(ctx, p.traits().minLife)
}

// register: one worker at a time, each asked for when the one before is up.
func (m *measuring) register(ctx context.Context, p peer, id, program string) error {
	n := m.opt.samples
	if err := p.prepare(ctx, n, program); err != nil {
		return err
	}
	for i := range n {
		before := p.ledger().mark(i, 1)
		asked, err := p.start(ctx, i, 1)
		if err != nil {
			return fmt.Errorf("cannot start worker %d: %w", i, err)
		}
		if err := p.ledger().await(ctx, before); err != nil {
			return err
		}
		m.add(id, p.name(), micro(p.ledger().at(i).first-asked))
		if err := pause(ctx, cool); err != nil {
			return err
		}
	}
	return stopAndReturn(ctx, p, n)
}

// restart: of twice as many workers as samples, half leave with status 1 on
// SIGUSR2 and half are killed, one at a time; each once, so that all are old
// enough.
func (m *measuring) restart(ctx context.Context, p peer) error {
	n := 2 * m.opt.samples
	return withWorkers(ctx, p, n, "worker-nolibc", func() error {
		pids, err := pidsOf(p, 0, n)
		if err != nil {
			return err
		}
		for i := range m.opt.samples {
			v, err := exitOne(ctx, p, i, pids[i])
			if err != nil {
				return err
			}
			m.add("exit1", p.name(), v)
			if err := pause(ctx, cool); err != nil {
				return err
			}
		}
		return m.killSome(ctx, p, pids)
	})
}

// exitOne makes worker i leave with status 1 and is the time from its exit to
// its successor's first instruction.
func exitOne(ctx context.Context, p peer, i, pid int) (float64, error) {
	before := p.ledger().mark(i, 1)
	if err := send(pid, syscall.SIGUSR2); err != nil {
		return 0, err
	}
	if err := p.ledger().await(ctx, before); err != nil {
		return 0, err
	}
	s := p.ledger().at(i)
	return micro(s.first - s.left), nil
}

// killSome kills workers behind the first samples one by one; a peer that
// resets everything at a kill shows it once a round.
func (m *measuring) killSome(ctx context.Context, p peer, pids []int) error {
	n := m.opt.samples
	if p.traits().killResets {
		n = 1
	}
	for k := range n {
		i := m.opt.samples + k
		all := p.ledger().mark(0, len(pids))
		one := p.ledger().mark(i, 1)
		if p.traits().killResets {
			one = all
			pids[i] = p.ledger().at(i).pid
		}
		t := monotonic()
		if err := send(pids[i], syscall.SIGKILL); err != nil {
			return err
		}
		if err := p.ledger().await(ctx, one); err != nil {
			return err
		}
		m.add("kill", p.name(), micro(p.ledger().at(i).first-t))
		if r, ok := p.(resetter); ok {
			if err := r.reset(ctx); err != nil {
				return err
			}
		}
		if err := pause(ctx, cool); err != nil {
			return err
		}
	}
	return nil
}

// send signals a worker that is known to be up: the ledger was just awaited.
func send(pid int, sig syscall.Signal) error {
	if pid <= 1 {
		return fmt.Errorf("process %d is no worker", pid)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		return fmt.Errorf("cannot send %v to worker process %d: %w", sig, pid, os.NewSyscallError("kill", err))
	}
	return nil
}

// up: n workers asked for as fast as the peer takes it.
func (m *measuring) up(ctx context.Context, p peer, n int, program string) error {
	if m.fit(p, n) < n {
		return fmt.Errorf("%w: %d workers need %d processes, and -max-processes is %d",
			errNotOffered, n, n*p.traits().perWorker, m.opt.maxProcesses)
	}
	if err := p.prepare(ctx, n, program); err != nil {
		return err
	}
	var who spenders
	var before spent
	if s, ok := p.(spender); ok && n == 100 {
		who = s.spenders()
		var err error
		if before, err = cpuSpent(who, nil); err != nil {
			return err
		}
	}
	took, err := startAll(ctx, p, n)
	if err != nil {
		return err
	}
	m.add(fmt.Sprintf("up%d", n), p.name(), took)
	if len(who.supervisor) > 0 {
		if err := pause(ctx, settle); err != nil {
			return err
		}
		if err := m.addSpent(p, who, before, n); err != nil {
			return err
		}
	}
	return stopAndReturn(ctx, p, n)
}

// thousand: 1,000 up; memory and wake-ups while they idle; all killed at once.
func (m *measuring) thousand(ctx context.Context, p peer) error {
	const n = 1000
	if m.fit(p, n) < n {
		return fmt.Errorf("%w: %d workers need %d processes, and -max-processes is %d",
			errNotOffered, n, n*p.traits().perWorker, m.opt.maxProcesses)
	}
	if err := p.prepare(ctx, n, "worker-nolibc"); err != nil {
		return err
	}
	took, err := startAll(ctx, p, n)
	if err != nil {
		return err
	}
	m.add("up1000", p.name(), took)
	if err := pause(ctx, max(time.Second, p.traits().minLife)); err != nil {
		return err
	}
	if m.round == 0 {
		if err := m.idle(ctx, []peer{p}, n); err != nil {
			return err
		}
	}
	if err := m.killAll(ctx, p, n); err != nil {
		return err
	}
	return stopAndReturn(ctx, p, n)
}

func (m *measuring) killAll(ctx context.Context, p peer, n int) error {
	pids, err := pidsOf(p, 0, n)
	if err != nil {
		return err
	}
	before := p.ledger().mark(0, n)
	t := monotonic()
	for _, pid := range pids {
		// One that a reset has ended meanwhile is no error.
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("cannot kill worker process %d: %w", pid, os.NewSyscallError("kill", err))
		}
	}
	if err := p.ledger().await(ctx, before); err != nil {
		return err
	}
	m.add("back1000", p.name(), micro(p.ledger().last(0, n)-t))
	if r, ok := p.(resetter); ok {
		return r.reset(ctx)
	}
	return nil
}

// terminate: workers are terminated one by one, each told before the next.
func (m *measuring) terminate(ctx context.Context, p peer) error {
	n := m.opt.samples
	if err := p.prepare(ctx, n, "worker-nolibc"); err != nil {
		return err
	}
	if _, err := startAll(ctx, p, n); err != nil {
		return err
	}
	if err := aged(ctx, p); err != nil {
		return err
	}
	for i := range n {
		took, err := p.terminate(ctx, i)
		if errors.Is(err, errNotOffered) {
			return errors.Join(err, stopAndReturn(ctx, p, n))
		}
		if err != nil {
			return err
		}
		m.add("terminate", p.name(), micro(took.Nanoseconds()))
		if err := pause(ctx, cool); err != nil {
			return err
		}
	}
	return p.prepare(ctx, 0, "")
}

// soak: restarts after exit 1 without a pause, worker after worker, so many
// workers that each is old enough when its turn comes again.
func (m *measuring) soak(ctx context.Context, p peer) error {
	n := 100
	if p.traits().minLife > 0 && !m.opt.quick {
		n = m.fit(p, 500)
	}
	return withWorkers(ctx, p, n, "worker-nolibc", func() error {
		end := time.Now().Add(m.opt.soakTime)
		for k := range m.opt.soak {
			i := k % n
			age := time.Duration(monotonic() - p.ledger().at(i).first)
			if err := pause(ctx, p.traits().minLife-age); err != nil {
				return err
			}
			pids, err := pidsOf(p, i, 1)
			if err != nil {
				return err
			}
			v, err := exitOne(ctx, p, i, pids[0])
			if err != nil {
				return fmt.Errorf("restart %d is lost: %w", k+1, err)
			}
			m.add("soak", p.name(), v)
			if time.Now().After(end) {
				return nil
			}
		}
		return nil
	})
}

// idle notes memory, and context switches over a window in which nothing is
// asked of the peers, all of them at once.
func (m *measuring) idle(ctx context.Context, peers []peer, n int) error {
	before := make([]float64, len(peers))
	for k, p := range peers {
		kib, err := pss(p.processes())
		if err != nil {
			return fmt.Errorf("cannot read the memory of %s: %w", p.name(), err)
		}
		m.add(fmt.Sprintf("pss%d", n), p.name(), kib)
		if before[k], err = switches(p.processes()); err != nil {
			return err
		}
	}
	if err := pause(ctx, m.opt.window); err != nil {
		return err
	}
	for k, p := range peers {
		after, err := switches(p.processes())
		if err != nil {
			return err
		}
		m.add(fmt.Sprintf("switches%d", n), p.name(), (after-before[k])*60/m.opt.window.Seconds())
	}
	return nil
}
