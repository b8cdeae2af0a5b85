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
