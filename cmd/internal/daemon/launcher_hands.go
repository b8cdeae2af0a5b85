package daemon

// hands run functions, each on a goroutine of its own. One that has run a function
// waits for the next: its stack is as large as they need, and to grow that of a new
// one costs more than all else of a goroutine.
type hands struct {
	next chan func()
	rest chan struct{} // has room for the one that waits
	stop chan struct{}
}

func newHands() *hands {
	return &hands{next: make(chan func()), rest: make(chan struct{}, 1), stop: make(chan struct{})}
}

// do has f run and does not wait for it.
func (h *hands) do(f func()) {
	select {
	case h.next <- f:
	default:
		go h.work(f)
	}
}

// close lets the one that waits go; what runs is not stopped. It may be called once.
func (h *hands) close() { close(h.stop) }

func (h *hands) work(f func()) {
	for {
		f()
		select {
		case h.rest <- struct{}{}:
		default:
			return // another waits
		}
		select {
		case f = <-h.next:
			<-h.rest
		case <-h.stop:
			return
		}
	}
}
