package shm

// copying is how a sender makes its long copies: past the caches (a stream) or
// through them. Where the two ends share a cache the latter is up to half as fast
// again, where they share none it takes five times as long; and a virtual machine
// goes from one to the other while it runs. So both are tried now and then, on
// what is sent anyway. What counts is the time in copies and in waits for room: a
// stream is always copied sooner, but may be read later.
type copying struct {
	clock  func() uint64 // in any unit, never 0; nil: nothing is streamed
	stream bool          // long copies are streams at the moment
	kept   bool          // and are between the trials
	timed  bool          // this step of a trial is measured
	step   int           // of a trial; 0: between trials
	unit   int           // bytes of a step
	hold   int           // units between trials
	left   int           // bytes until the next step
	spent  uint64        // in this step
	least  [2]uint64     // time of a unit: as it is kept, and the other way
}

const (
	minUnit = 512 << 10 // bytes: enough to average over wake-ups; a ring if that is more
	maxUnit = 4 << 20

	firstHold = 8   // units before the first trial: a queue that is used less needs none
	shortHold = 64  // after a trial that changed something
	longHold  = 256 // after one that was clear; else twice as many as before
	lastHold  = 1024

	roundSteps = 4 // the other way: once to settle, once measured; and the same as it is kept
)

func newCopying(ring int, clock func() uint64) copying {
	unit := min(max(ring, minUnit), maxUnit)
	return copying{clock: clock, stream: clock != nil, kept: clock != nil, unit: unit, hold: firstHold, left: firstHold * unit}
}

// begin is called before what takes time, end with its result after it.
func (c *copying) begin() uint64 {
	if !c.timed {
		return 0
	}
	return c.clock()
}

func (c *copying) end(begun uint64) {
	if begun != 0 && c.timed {
		if took := c.clock() - begun; took < 1<<40 { // or it went back, on another CPU
			c.spent += took
		}
	}
}

// copied is told of each copy that could be a stream.
func (c *copying) copied(n int) {
	if c.left -= n; c.left <= 0 && c.clock != nil {
		c.next()
	}
}

// next goes on to the next step.
func (c *copying) next() {
	if c.timed {
		way := 0
		if c.stream != c.kept {
			way = 1
		}
		cost := c.spent * 1024 / (uint64(c.unit-c.left) * 1024 / uint64(c.unit))
		if c.least[way] == 0 || cost < c.least[way] {
			c.least[way] = max(cost, 1)
		}
	}
	switch {
	case c.step == roundSteps && (c.clear() || c.least[1] > c.least[0]) || c.step == 2*roundSteps:
		c.decide()
	default:
		c.step++
		c.left = c.unit
		other := (c.step-1)%roundSteps < roundSteps/2
		c.stream = c.kept != other
	}
	c.timed = c.step > 0 && c.step%2 == 0
	c.spent = 0
}

// clear reports whether one way is so much better that chance does not explain
// it.
func (c *copying) clear() bool {
	return c.least[0] > 2*c.least[1] || c.least[1] > 2*c.least[0]
}

// decide ends a trial. A tenth is no reason to change.
func (c *copying) decide() {
	if c.least[1] < c.least[0]/10*9 {
		c.kept = !c.kept
		c.hold = shortHold
	} else {
		c.hold = min(max(2*c.hold, shortHold), lastHold)
	}
	if c.clear() {
		c.hold = max(c.hold, longHold)
	}
	c.stream, c.step, c.least = c.kept, 0, [2]uint64{}
	c.left = c.hold * c.unit
}
