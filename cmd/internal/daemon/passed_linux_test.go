package daemon

import (
	"os"
	"strconv"
	"testing"
)

// TestPassedFilesOfNobody: what is meant for another process, or is no list, is
// not taken over. That one is, is tested with a real process in cmd/pg-bgwd.
func TestPassedFilesOfNobody(t *testing.T) {
	me := strconv.Itoa(os.Getpid())
	for _, tt := range []struct {
		pid, fds string
		ok       bool
	}{{"", "", true}, {"1", "3", true}, {me, "0", true}, {me, "x", false}, {me, "-1", false}, {me, "5000", false}} {
		passed, err := passedFiles(func(name string) string {
			return map[string]string{"LISTEN_PID": tt.pid, "LISTEN_FDS": tt.fds, "LISTEN_FDNAMES": "a:b"}[name]
		})
		if (err == nil) != tt.ok || len(passed) > 0 {
			t.Errorf("%+v: %v, %v", tt, passed, err)
		}
	}
}
