package supervise

import "container/heap"

// readyHeap holds what may start, the newest registration first (BGW-023).
type readyHeap []*entry

func (h readyHeap) Len() int           { return len(h) }
func (h readyHeap) Less(i, j int) bool { return h[i].seq > h[j].seq }
func (h readyHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].ri, h[j].ri = i, j }
func (h *readyHeap) Push(x any)        { e := x.(*entry); e.ri = len(*h); *h = append(*h, e) }
func (h *readyHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h, e.ri = old[:len(old)-1], -1
	return e
}

// deadlineHeap holds what a time is set for, the earliest first; ties go by
// registration, so that a schedule is the same each time.
type deadlineHeap []*entry

func (h deadlineHeap) Len() int { return len(h) }
func (h deadlineHeap) Less(i, j int) bool {
	if !h[i].deadline.Equal(h[j].deadline) {
		return h[i].deadline.Before(h[j].deadline)
	}
	return h[i].seq > h[j].seq
}
func (h deadlineHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i]; h[i].di, h[j].di = i, j }
func (h *deadlineHeap) Push(x any)   { e := x.(*entry); e.di = len(*h); *h = append(*h, e) }
func (h *deadlineHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h, e.di = old[:len(old)-1], -1
	return e
}

func (t *table) unready(e *entry) {
	switch {
	case e.ri < 0:
	case e.parked:
		heap.Remove(&e.server.parked, e.ri)
		e.parked = false
	default:
		heap.Remove(&t.ready, e.ri)
	}
}
