package main

import (
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// TestBusLost: the bus goes and comes back; workers run on, and handles hold.
func TestBusLost(t *testing.T) {
	b := startBus(t)
	s := start(t, b, map[string]string{"workers.d/10.hcl": sleeper("one", "")})
	one := s.state("one", "running")
	d := definition("two", 0, "/bin/sleep", "1000")
	d.Set |= dbusapi.KeyStopWithOwner
	d.StopWithOwner = true
	h, err := s.client.RegisterDynamicBackgroundWorker(s.ctx(), d, 0)
	if err != nil {
		t.Fatal(err)
	}
	two := s.state("two", "running")
	s.client.Close()
	b.stop()
	b.start()
	s.poll("the name", func() bool {
		c, err := dbusapi.Dial(b.address)
		if err != nil {
			return false
		}
		defer c.Close()
		_, err = c.Manager(s.ctx())
		return err == nil
	})
	s.connect()
	if w := s.worker("one"); w.MainPID != one.MainPID || w.Handle != one.Handle {
		t.Errorf("one was %+v and is %+v", one, w)
	}
	_ = h
	if w := s.worker("two"); w.State == "ended" && two.Handle != w.Handle {
		t.Errorf("two was %+v and is %+v", two, w)
	}
}

// TestStopWithOwner: a worker that asked for it ends with its owner (any other
// runs on, BGW-049).
func TestStopWithOwner(t *testing.T) {
	b := startBus(t)
	s := start(t, b, nil)
	c, err := dbusapi.Dial(b.address)
	if err != nil {
		t.Fatal(err)
	}
	d := definition("with", 0, "/bin/sleep", "1000")
	if _, err := c.RegisterDynamicBackgroundWorker(s.ctx(), d, 0); err != nil {
		t.Fatal(err)
	}
	d.Name = "tied"
	d.Set |= dbusapi.KeyStopWithOwner
	d.StopWithOwner = true
	if _, err := c.RegisterDynamicBackgroundWorker(s.ctx(), d, 0); err != nil {
		t.Fatal(err)
	}
	with := s.state("with", "running")
	s.state("tied", "running")
	c.Close()
	s.state("tied", "ended")
	if w := s.worker("with"); w.MainPID != with.MainPID || w.Owner != "" {
		t.Errorf("with is %+v", w)
	}
}
