package libpgbgw

import (
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/pg-bgw/pg-bgw/shm"
)

// word is the beginning of an area.
func word(t *testing.T, g *shm.Worker, area string) *atomic.Uint64 {
	t.Helper()
	data, _, err := g.Area(area, 16)
	if err != nil {
		t.Fatal(err)
	}
	return (*atomic.Uint64)(unsafe.Pointer(&data[0]))
}
