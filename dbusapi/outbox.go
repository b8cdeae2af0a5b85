package dbusapi

import (
	"runtime"
	"sync"
)

// maxUnwritten is how many bytes wait for a broker that does not read before who sends waits as well.
const maxUnwritten = 256 << 10

// maxGathered is how many bytes are gathered before they are written.
const maxGathered = 32 << 10

// outbox makes one write of messages that are sent at about the same time, since each write wakes the broker: who finds
// nobody writing lets the others who can send now do so first, and writes for all.
type outbox struct {
	write func([]byte) (int, error)

	mu      sync.Mutex
	written *sync.Cond // of mu: something was, or err is set
	waiting []byte
	spare   []byte // empty, to be waiting next
	writing bool
	gathers bool  // what is put waits for the end of gather
	err     error // of the write that failed: the connection is gone
}

func newOutbox(write func([]byte) (int, error)) *outbox {
	o := &outbox{write: write}
	o.written = sync.NewCond(&o.mu)
	return o
}

// put writes b, or leaves that to who writes. The error says that the connection is gone; nil, that this is not known
// yet. It blocks only while maxUnwritten bytes are not read.
func (o *outbox) put(b []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && o.writing && len(o.waiting) >= maxUnwritten {
		o.written.Wait()
	}
	if o.err != nil {
		return o.err
	}
	o.waiting = append(o.waiting, b...)
	if !o.gathers || len(o.waiting) >= maxGathered {
		o.begin()
	}
	return o.err
}

// gather calls f and makes one write of what is put meanwhile, or of each maxGathered bytes of it. f must not wait for others.
func (o *outbox) gather(f func()) {
	o.mu.Lock()
	o.gathers = true
	o.mu.Unlock()
	f()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gathers = false
	o.begin()
}

// begin writes what waits unless somebody does. o.mu is held, but not while it writes.
func (o *outbox) begin() {
	if o.writing || o.err != nil || len(o.waiting) == 0 {
		return
	}
	o.writing = true
	o.batch()
	if o.writing {
		go o.rest() // what others left here is not the caller's to wait for
	}
}

// rest writes until nothing is left.
func (o *outbox) rest() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.writing {
		o.batch()
	}
}

// batch writes what waits; writing is then whether there is more. o.mu is held, but not while it writes.
func (o *outbox) batch() {
	o.mu.Unlock()
	runtime.Gosched()
	o.mu.Lock()
	b := o.waiting
	o.waiting = o.spare
	o.spare = nil
	o.mu.Unlock()
	_, err := o.write(b)
	o.mu.Lock()
	if cap(b) <= maxUnwritten {
		o.spare = b[:0]
	}
	o.err = err
	o.writing = err == nil && len(o.waiting) > 0
	o.written.Broadcast()
}

// drain returns when everything that was put before is written or cannot be.
func (o *outbox) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.begin(); o.writing; {
		o.written.Wait()
	}
}
