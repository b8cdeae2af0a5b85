package daemon

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestAgain: what fails is tried again, more and more seldom, until it works.
func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var at []time.Duration
		again(t.Context(), func() bool {
			at = append(at, time.Since(begin).Round(time.Millisecond))
			return len(at) == 9
		})
		ms := time.Millisecond
		if want := []time.Duration{100 * ms, 300 * ms, 700 * ms, 1500 * ms, 3100 * ms, 6300 * ms, 11300 * ms, 16300 * ms, 21300 * ms}; !slices.Equal(at, want) {
			t.Errorf("it was tried at %v", at)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		again(ctx, func() bool { return false }) // ends
	})
}
