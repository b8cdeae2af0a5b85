package daemon

import (
	"log/slog"
	"testing"

	"github.com/pg-bgw/pg-bgw/shm"
)

// TestSegmentNeverMade: a worker that was registered in a segment waited, and the
// segment was removed before anybody had used it.
func TestSegmentNeverMade(t *testing.T) {
	s := newSegments()
	s.log = slog.New(slog.DiscardHandler)
	s.configure(nil)
	memory, err := s.get("gone", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	if got := memory.Size(); got != shm.DefaultSize {
		t.Errorf("it has %d bytes", got)
	}
}
