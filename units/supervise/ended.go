package supervise

import (
	"iter"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// How long an ended handle stays readable: until its owner goes and at least
// endedAge, and at most endedMax of them, the oldest dropped first.
const (
	endedMax = 1024
	endedAge = 10 * time.Minute
)

// ended keeps what was known of registrations at their end. Age is looked at
// when somebody asks, so that nothing is ever searched for what is too old.
type ended struct {
	infos  map[units.Handle]Info
	order  []units.Handle // a ring by end: once full, its oldest is at oldest
	oldest int
	pinned map[units.Handle]Info // last registrations of definitions that stand: not counted, never too old
}

func newEnded() ended {
	return ended{infos: map[units.Handle]Info{}, pinned: map[units.Handle]Info{}}
}

func (d *ended) add(i Info) {
	d.infos[i.Handle] = i
	if len(d.order) < endedMax {
		d.order = append(d.order, i.Handle)
		return
	}
	delete(d.infos, d.order[d.oldest])
	d.order[d.oldest] = i.Handle
	d.oldest = (d.oldest + 1) % endedMax
}

// unpin lets h be forgotten like any other.
func (d *ended) unpin(h units.Handle) {
	if i, ok := d.pinned[h]; ok {
		delete(d.pinned, h)
		d.add(i)
	}
}

// all names every end that may still be readable.
func (d *ended) all() iter.Seq[units.Handle] {
	return func(yield func(units.Handle) bool) {
		for _, m := range []map[units.Handle]Info{d.pinned, d.infos} {
			for h := range m {
				if !yield(h) {
					return
				}
			}
		}
	}
}

func (d *ended) get(h units.Handle, now time.Time) (Info, bool) {
	if i, ok := d.pinned[h]; ok {
		return i, true
	}
	i, ok := d.infos[h]
	if ok && i.Owner.Kind == NoOwner && now.Sub(i.Since) >= endedAge {
		delete(d.infos, h) // its place in the ring is reused in its turn
		return Info{}, false
	}
	return i, ok
}

// newest returns the one that ended last among those of that label or name.
func (d *ended) newest(label string, now time.Time) (Info, bool) {
	for n := range d.order {
		h := d.order[(d.oldest+len(d.order)-1-n)%len(d.order)]
		if i, ok := d.get(h, now); ok && (i.Worker.Label == label || i.Worker.Name == label) {
			return i, true
		}
	}
	return Info{}, false
}

// ownerGone forgets o.
func (d *ended) ownerGone(o Owner) {
	for h, i := range d.infos {
		if i.Owner.same(o) {
			i.Owner = Owner{UID: i.Owner.UID}
			d.infos[h] = i
		}
	}
}
