package daemon

import (
	"github.com/pg-bgw/pg-bgw/shm/control"
)

// dynamic serves a request about dynamic segments. c.mu is held.
func (c *conn) dynamic(rec control.Record) {
	s := c.server.daemon.dynamics
	h, err := c.holder()
	if err != nil {
		c.answer(rec, nil, err)
		return
	}
	switch rec.Type {
	case control.DynamicCreate:
		if c.begin(rec) {
			go func() {
				d, err := s.create(h, rec.Size)
				c.finishDynamic(rec, d, false, err)
			}()
		}
	case control.DynamicNamed:
		if c.begin(rec) {
			s.claim(h, rec.Text, rec.Size, func(d *dynamic, found bool, err error) { c.finishDynamic(rec, d, found, err) })
		}
	case control.DynamicAttach:
		d, err := s.attach(h, rec.Segment)
		c.passDynamic(rec, d, true, err)
	case control.DynamicDetach:
		c.answer(rec, nil, s.detach(h, rec.Segment))
	case control.DynamicPin, control.DynamicUnpin:
		c.answer(rec, nil, s.pin(h, rec.Segment, rec.Type == control.DynamicPin))
	case control.DynamicReady:
		c.answer(rec, nil, s.filled(h, rec.Segment, rec.Done))
	}
}

// holder is this process, if it is attached. Who registered it is charged.
func (c *conn) holder() (*holder, error) {
	i, _ := c.server.daemon.supervisor.Lookup(c.run.Handle)
	if !i.Attached || i.Start != c.run.Start {
		return nil, errOutside
	}
	uid := c.server.daemon.uid
	if i.Dynamic {
		uid = i.Owner.UID
	}
	return c.server.daemon.dynamics.holder(c.run, uid, domain{i.Worker.Segment, i.Incarnation}), nil
}

// begin counts a request that is answered later; false if there are too many.
func (c *conn) begin(rec control.Record) bool {
	if c.waits >= maxControlWaits {
		c.answer(rec, nil, errTooManyWaits)
		return false
	}
	c.waits++
	return true
}

func (c *conn) finishDynamic(rec control.Record, d *dynamic, found bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits--
	c.passDynamic(rec, d, found, err)
}

// passDynamic answers with a segment. c.mu is held.
func (c *conn) passDynamic(rec control.Record, d *dynamic, found bool, err error) {
	if err == nil {
		a := rec.Accept()
		a.Segment, a.Size, a.Found = d.handle, d.size, found
		err = d.control(func(fd int) { c.send(a, fd) })
	}
	if err != nil {
		c.answer(rec, nil, err)
	}
}
