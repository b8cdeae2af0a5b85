package launch

import (
	"fmt"
	"testing"
)

// BenchmarkStart is request to exit of a worker that does nothing, with other
// workers idle beside it.
func BenchmarkStart(b *testing.B) {
	for _, cgroups := range []bool{true, false} {
		for _, idle := range []int{0, 1000} {
			b.Run(fmt.Sprintf("cgroups=%v/idle=%d", cgroups, idle), func(b *testing.B) {
				r := newRig(b, cgroups)
				stop := r.idle(idle)
				s := spec("")
				s.Argv = []string{"/bin/true"}
				for b.Loop() {
					_, exits := r.start(s)
					<-exits
				}
				b.StopTimer()
				stop()
			})
		}
	}
}

// BenchmarkRestart is from one process of a worker to the next, both with their
// start and their end: Start returns when the program has been executed.
func BenchmarkRestart(b *testing.B) {
	for _, cgroups := range []bool{true, false} {
		b.Run(fmt.Sprintf("cgroups=%v", cgroups), func(b *testing.B) {
			r := newRig(b, cgroups)
			again := make(chan Exit)
			s := spec("")
			s.Argv = []string{"/bin/true"}
			for b.Loop() {
				if _, err := r.Start(b.Context(), s, func(e Exit) { go func() { again <- e }() }); err != nil {
					b.Fatal(err)
				}
				<-again
			}
		})
	}
}

// idle starts n workers that wait and returns a function that ends them.
func (r *rig) idle(n int) (stop func()) {
	r.t.Helper()
	var procs []*Process
	var ends []<-chan Exit
	for range n {
		s := spec("")
		s.Argv = []string{"/bin/sleep", "1000"}
		p, exits := r.start(s)
		procs, ends = append(procs, p), append(ends, exits)
	}
	return func() {
		for i, p := range procs {
			if err := p.Kill(); err != nil {
				r.t.Error(err)
			}
			<-ends[i]
		}
	}
}
