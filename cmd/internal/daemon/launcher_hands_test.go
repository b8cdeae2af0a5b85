package daemon

import (
	"sync"
	"testing"
	"testing/synctest"
)

// A function that hangs keeps no other from running, and at the end none waits.
func TestHands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHands()
		hang := make(chan struct{})
		h.do(func() { <-hang })
		for range 3 { // the same one, if it is idle again
			done := make(chan struct{})
			h.do(func() { close(done) })
			<-done
			synctest.Wait()
		}
		var all sync.WaitGroup
		all.Add(50)
		for range 50 { // each waits for all
			h.do(func() { all.Done(); all.Wait() })
		}
		all.Wait()
		close(hang)
		synctest.Wait()
		h.close() // else the bubble has a goroutine that never ends
	})
}
