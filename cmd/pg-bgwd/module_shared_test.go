package main

import (
	"slices"
	"strings"
	"testing"
)

// TestModuleShared has a module's worker register others and share memory with
// them, inside PostgreSQL and beside it, and what it sees has to be the same:
// BGW-017 to BGW-020, BGW-024, BGW-028 to BGW-034 and BGW-036 of dynamic workers,
// BGW-133, BGW-135 to BGW-150 (BGW-139 from 17 on), BGW-152 to BGW-156 and BGW-158 to
// BGW-160 of segments, tables, queues, latches, locks, condition variables and barriers,
// and areas that grow with hash tables in them.
func TestModuleShared(t *testing.T) {
	parameters := map[string]string{"bgw_spi.shared": "on", "bgw_spi.workers": "0"}
	insideAndBeside(t, parameters, "max_worker_processes = 8\n")
}

// TestModulePipeline has messages go through workers in a row, in queues of all
// sizes, as PostgreSQL's own test of its queues does (BGW-144, BGW-145, BGW-148).
func TestModulePipeline(t *testing.T) {
	t.Parallel()
	parameters := map[string]string{"bgw_spi.pipeline": "on", "bgw_spi.workers": "0"}
	insideAndBeside(t, parameters, "max_worker_processes = 8\n")
}

// logTimes shows how long a worker says that it took for something.
func logTimes(t *testing.T, where, log string) {
	t.Helper()
	for line := range strings.Lines(log) {
		if slices.Contains(strings.Fields(line), "us,") {
			t.Log(where, strings.TrimSpace(line))
		}
	}
}
