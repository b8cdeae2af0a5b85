package main

import "testing"

// TestModuleShared has a module's worker register others and share memory with
// them, inside PostgreSQL and beside it, and what it sees has to be the same:
// BGW-017 to BGW-019, BGW-024, BGW-028 to BGW-031, BGW-034 and BGW-036 of dynamic
// workers, BGW-133, BGW-135 to BGW-138, BGW-140, BGW-141, BGW-143 to BGW-150, BGW-153
// and BGW-158 of segments, tables, queues, locks, condition variables and barriers.
func TestModuleShared(t *testing.T) {
	parameters := map[string]string{"bgw_spi.shared": "on", "bgw_spi.workers": "0"}
	insideAndBeside(t, parameters, "max_worker_processes = 8\n")
}
