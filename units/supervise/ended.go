package supervise

import (
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// How long an ended handle stays readable: until its owner goes and at least
// endedAge, and at most endedMax of them, the oldest dropped first.
const (
	endedMax = 1024
	endedAge = 10 * time.Minute
)

// ended keeps what was known of registrations at their end.
type ended struct {
	infos map[units.Handle]Info
	order []units.Handle // by end, oldest first; may name infos that are gone
}

func newEnded() ended { return ended{infos: map[units.Handle]Info{}} }

func (d *ended) add(i Info, now time.Time) {
	i.Attached = false
	d.infos[i.Handle] = i
	d.order = append(d.order, i.Handle)
	d.prune(now)
}

// prune drops what is too old or too much. Time passes only with events: an
// idle supervisor has nobody who could ask.
func (d *ended) prune(now time.Time) {
	kept := d.order[:0]
	excess := len(d.order) - endedMax
	for n, h := range d.order {
		i := d.infos[h]
		if n < excess || now.Sub(i.Since) >= endedAge && i.Owner.Kind == NoOwner {
			delete(d.infos, h)
			continue
		}
		if now.Sub(i.Since) < endedAge && n >= excess {
			kept = append(kept, d.order[n:]...)
			break
		}
		kept = append(kept, h)
	}
	d.order = kept
}

// ownerGone forgets o.
func (d *ended) ownerGone(o Owner) {
	for h, i := range d.infos {
		if i.Owner.same(o) {
			i.Owner = Owner{}
			d.infos[h] = i
		}
	}
}
