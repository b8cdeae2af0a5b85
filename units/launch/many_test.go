package launch

import (
	"context"
	"sync"
	"testing"
)

// Of many starts begun at once the launcher makes one child after the other without
// waiting for any, in the order in which they were asked for, and none is lost.
func TestManyAtOnce(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		const n = 150
		pids := make([]int, n)
		var all sync.WaitGroup
		for i := range n {
			s := spec("")
			s.Argv = []string{"/bin/true"}
			all.Add(2)
			r.Begin(context.Background(), s, func(p *Process, err error) {
				defer all.Done()
				if err != nil {
					t.Error(err)
					all.Done() // there is no exit
					return
				}
				pids[i] = p.Pid()
			}, func(Exit) { all.Done() })
		}
		all.Wait()
		backwards := 0
		for i := range n - 1 {
			if pids[i+1] <= pids[i] {
				backwards++
			}
		}
		if backwards > 1 { // the numbers have begun anew
			t.Errorf("the children were not made in the order of their starts: %v", pids)
		}
		if n := threadsOf(t, r.launcherPid()); n != 1 {
			t.Errorf("the launcher has %d threads", n)
		}
		if n := r.poller.starts.Load(); n != 0 {
			t.Errorf("%d starts are under way", n)
		}
		if n := zombies(); n != 0 {
			t.Errorf("%d zombies", n)
		}
	})
}
