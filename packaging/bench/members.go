package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// members are the benchmark's end of two workers that exchange messages.
type members struct {
	listener *net.UnixListener
	prefix   string // of areas
	first    *orders
	second   *orders
}

// orders is the connection to one member.
type orders struct {
	role string
	slot int
	conn net.Conn
	in   *bufio.Reader
}

// listenForMembers listens, before the workers are started.
func listenForMembers(path string) (*members, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the members: %w", err)
	}
	return &members{listener: l, prefix: filepath.Base(path)}, nil
}

// accept waits for both members, 20 s at most.
func (m *members) accept() error {
	if err := m.listener.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	for m.first == nil || m.second == nil {
		conn, err := m.listener.Accept()
		if err != nil {
			return fmt.Errorf("the members do not come up: %w", err)
		}
		o := &orders{conn: conn, in: bufio.NewReader(conn)}
		line, err := o.in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("a member does not say who it is: %w", err)
		}
		if _, err := fmt.Sscan(line, &o.role, &o.slot); err != nil {
			return fmt.Errorf("a member says %q: %w", line, err)
		}
		switch o.role {
		case roles[0]:
			m.first = o
		case roles[1]:
			m.second = o
		}
	}
	return nil
}

// close may be called of members that are not there.
func (m *members) close() {
	if m == nil {
		return
	}
	m.listener.Close()
	for _, o := range []*orders{m.first, m.second} {
		if o != nil {
			o.conn.Close()
		}
	}
}

// tell gives an order and does not wait for it.
func (o *orders) tell(ctx context.Context, format string, args ...any) error {
	deadline, _ := ctx.Deadline()
	if err := o.conn.SetDeadline(deadline); err != nil {
		return err
	}
	_, err := fmt.Fprintf(o.conn, format+"\n", args...)
	return err
}

// answer waits for what came of it.
func (o *orders) answer() ([]int64, error) {
	line, err := o.in.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the %s member is gone: %w", o.role, err)
	}
	words := strings.Fields(line)
	if len(words) == 0 || words[0] != "ok" {
		return nil, fmt.Errorf("the %s member: %s", o.role, strings.TrimSpace(line))
	}
	var numbers []int64
	for _, w := range words[1:] {
		n, err := strconv.ParseInt(w, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("the %s member answers %q", o.role, line)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// ask is tell and answer.
func (o *orders) ask(ctx context.Context, format string, args ...any) ([]int64, error) {
	if err := o.tell(ctx, format, args...); err != nil {
		return nil, err
	}
	return o.answer()
}

// number is ask where one number is answered.
func (o *orders) number(ctx context.Context, format string, args ...any) (int64, error) {
	n, err := o.ask(ctx, format, args...)
	if err == nil && len(n) != 1 {
		err = fmt.Errorf("the %s member answers %v to %s", o.role, n, format)
	}
	if err != nil {
		return 0, err
	}
	return n[0], nil
}

// queueHeader is what a queue takes beside its ring.
const queueHeader = 384

// queue makes a queue anew, from one member to the other.
func (m *members) queue(ctx context.Context, name string, ring int, from, to *orders) error {
	for _, step := range []struct {
		who *orders
		say string
	}{
		{from, fmt.Sprintf("create %s %d", name, ring+queueHeader)},
		{to, fmt.Sprintf("open %s %d", name, ring+queueHeader)},
		{from, "sender " + name},
		{to, "receiver " + name},
	} {
		if _, err := step.who.ask(ctx, "%s", step.say); err != nil {
			return err
		}
	}
	return nil
}

func (m *members) detach(ctx context.Context, name string) error {
	for _, o := range []*orders{m.first, m.second} {
		if _, err := o.ask(ctx, "detach %s", name); err != nil {
			return err
		}
	}
	return nil
}

// throughput is the time of n messages.
func (m *members) throughput(ctx context.Context, c channelCase, flush, n int) (time.Duration, error) {
	name := fmt.Sprintf("%s-%d", m.prefix, c.ring)
	if err := m.queue(ctx, name, c.ring, m.first, m.second); err != nil {
		return 0, err
	}
	if err := m.second.tell(ctx, "receive %s %d %d", name, c.size, n); err != nil {
		return 0, err
	}
	begun, err := m.first.number(ctx, "send %s %d %d %d", name, c.size, n, flush)
	if err != nil {
		return 0, err
	}
	ended, err := m.second.answer()
	if err != nil {
		return 0, err
	}
	return time.Duration(ended[0] - begun), m.detach(ctx, name)
}

// roundTrip is the median of n round trips of 64 bytes, a processor for each.
func (m *members) roundTrip(ctx context.Context, n, gap int) (time.Duration, error) {
	defer m.pin(ctx, -1, -1)
	if err := m.pin(ctx, 0, 1); err != nil {
		return 0, err
	}
	trip := m.prefix + "-trip"
	if err := m.queue(ctx, trip+"-forth", 64<<10, m.first, m.second); err != nil {
		return 0, err
	}
	if err := m.queue(ctx, trip+"-back", 64<<10, m.second, m.first); err != nil {
		return 0, err
	}
	if err := m.second.tell(ctx, "pong %s %d", trip, n); err != nil {
		return 0, err
	}
	median, err := m.first.number(ctx, "ping %s 64 %d %d", trip, n, gap)
	if err != nil {
		return 0, err
	}
	if _, err := m.second.answer(); err != nil {
		return 0, err
	}
	for _, name := range []string{trip + "-forth", trip + "-back"} {
		if err := m.detach(ctx, name); err != nil {
			return 0, err
		}
	}
	return time.Duration(median), nil
}

// wake is the median of one wake-up by a latch, both on one processor.
func (m *members) wake(ctx context.Context, n int) (time.Duration, error) {
	defer m.pin(ctx, -1, -1)
	if err := m.pin(ctx, 0, 0); err != nil {
		return 0, err
	}
	if err := m.first.tell(ctx, "latchping %d %d", m.second.slot, n); err != nil {
		return 0, err
	}
	median, err := m.second.number(ctx, "latchpong %d", n)
	if err != nil {
		return 0, err
	}
	_, err = m.first.answer()
	return time.Duration(median), err
}

func (m *members) pin(ctx context.Context, first, second int) error {
	if _, err := m.first.ask(ctx, "pin %d", first); err != nil {
		return err
	}
	_, err := m.second.ask(ctx, "pin %d", second)
	return err
}
