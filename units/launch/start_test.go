package launch

import (
	"syscall"
	"testing"
)

func TestExitStatus(t *testing.T) {
	tests := []struct {
		script string
		want   syscall.WaitStatus
	}{
		{"exit 0", 0},
		{"exit 1", 1 << 8},
		{"exit 255", 255 << 8},
		{"kill -TERM $$", syscall.WaitStatus(syscall.SIGTERM)},
		{"kill -KILL $$", syscall.WaitStatus(syscall.SIGKILL)},
	}
	both(t, func(t *testing.T, r *rig) {
		for _, tt := range tests {
			p, exits := r.start(spec(tt.script))
			e := <-exits
			if e.Status != tt.want || e.Pid != p.Pid() || e.Rusage == nil || e.At.IsZero() {
				t.Errorf("%s: got %+v, want status %#x and pid %d", tt.script, e, tt.want, p.Pid())
			}
		}
	})
}
