package shm

// patience is how often an end of a queue looks before it sleeps. While the
// other end runs on another CPU, a look finds something soon, and even one that
// was asleep is back before a long spin is over: then nobody sleeps any more,
// which is worth far more than the spin. If it cannot run, as it waits for this
// very CPU, each look only keeps it from it. Nobody can tell beforehand: so who
// found nothing looks less and less, and looks long now and then, ever more
// seldom.
type patience struct {
	vain uint // spins in a row that found nothing
}

const (
	longSpin  = 4 // in spins of a party: about twice the cost of a wake-up
	leastSpin = 3 // how often a spin is cut down to a quarter
	firstTry  = 8 // spins in vain before the first long one, then twice as many
	lastTry   = 256
)

// looks is how often to look now, in a party with so many spins.
func (p *patience) looks(spins int) int {
	if p.vain%lastTry == 0 || p.vain >= firstTry && p.vain&(p.vain-1) == 0 {
		return longSpin * spins
	}
	return longSpin * spins >> (2 * min(p.vain, leastSpin))
}

func (p *patience) found()        { p.vain = 0 }
func (p *patience) foundNothing() { p.vain++ }

// gathering is whether a receiver that has taken all rests before it looks again.
// A receiver that is faster than its sender would look for each message, and so
// take the cache line that says how much is written from the sender each time it
// wants to write there: both go at a third of the speed of one that lets some
// messages gather. Who waits for an answer has nothing to gather, and loses by a
// rest. The difference is whether a rest brought several messages: so one is
// tried, and if it did not, another one after ever more waits.
type gathering struct {
	rested bool // the wait before began with a rest
	skip   int  // waits without one that are left
	vain   int  // how many there were before
}

const (
	firstRest = 16 // pauses, 0.4 us and more: then a look
	lastRest  = 64 // twice as many each time that there is more than at the look before
	firstSkip = 16 // waits after a rest in vain, then twice as many
	lastSkip  = 1024
)

// rest reports whether to rest before the first look of a wait.
func (g *gathering) rest() bool {
	g.rested = g.skip == 0
	if !g.rested {
		g.skip--
	}
	return g.rested
}

// brought is told of each message that was waited for: whether others were
// behind it.
func (g *gathering) brought(several bool) {
	switch {
	case !g.rested:
	case several:
		g.vain = 0
	default:
		g.vain = min(max(2*g.vain, firstSkip), lastSkip)
		g.skip = g.vain
	}
	g.rested = false
}
