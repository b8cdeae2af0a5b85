package supervise

import (
	"slices"

	"github.com/pg-bgw/pg-bgw/units"
)

// lookup returns what is known of h: of its registration, or of its end.
func (t *table) lookup(h units.Handle) (Info, bool) {
	if e := t.find(h); e != nil {
		return t.info(e), true
	}
	i, ok := t.ended.get(h, t.now)
	if !ok { // stale for long: all that is left to say (BGW-032)
		i = Info{Handle: h, State: units.Ended, Status: units.StatusStopped}
	}
	return i, ok
}

func (w waitFor) holds(i *Info) bool {
	switch w {
	case waitStartup: // BGW-040, BGW-041
		return i.Status != units.StatusNotYetStarted
	default: // BGW-042
		return i.Status == units.StatusStopped
	}
}

func (t *table) onWait(w wait) {
	i, _ := t.lookup(w.handle)
	if w.want.holds(&i) {
		t.tell(w, i)
		return
	}
	t.waits[w.handle] = append(t.waits[w.handle], w)
}

func (t *table) onForget(f forget) {
	rest := slices.DeleteFunc(t.waits[f.handle], func(w wait) bool { return w.reply == f.reply })
	t.keepWaits(f.handle, rest)
}

// answerWaits tells everybody who waits for what i is now.
func (t *table) answerWaits(i *Info) {
	ws := t.waits[i.Handle]
	if len(ws) == 0 {
		return
	}
	rest := slices.DeleteFunc(ws, func(w wait) bool {
		done := w.want.holds(i)
		if done {
			t.tell(w, *i)
		}
		return done
	})
	t.keepWaits(i.Handle, rest)
}

func (t *table) keepWaits(h units.Handle, ws []wait) {
	if len(ws) == 0 {
		delete(t.waits, h)
	} else {
		t.waits[h] = ws
	}
}

func (t *table) tell(w wait, i Info) {
	t.do(reply[Info]{"wait", w.reply, i})
}
