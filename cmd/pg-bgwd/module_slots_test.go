package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const timesMet = 20

// meeter is a worker of testdata/modules/bgw_meet.c, one of so many.
func meeter(label string, members, me int) string {
	return moduleWorker(label, fmt.Sprint(members, timesMet, me), "library_name", `"bgw_meet"`, "function_name", `"bgw_meet_main"`)
}

// fillers are workers that take slots and wait for a server.
func fillers(from, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "worker \"filler%05d\" {\n  command = [\"/bin/true\"]\n  flags = [\"shmem_access\"]\n  restart_time = 0\n"+
			"  start_time = \"consistent_state\"\n  server = \"main\"\n}\n", from+i)
	}
	return b.String()
}

// slotsConf has a server that is never there, and a second one, so that workers
// which name none wait for none.
func slotsConf(max int) string {
	return fmt.Sprintf("server \"main\" {\n  conninfo = \"host=/nonexistent\"\n}\nserver \"other\" {\n  conninfo = \"host=/nonexistent\"\n}\n"+
		"max_worker_processes = %d\n", max) + modulePath()
}

// met waits until these workers have met and passed the token on (BGW-157, BGW-158).
func (s *supervisor) met(labels ...string) {
	s.t.Helper()
	for _, label := range labels {
		s.says(fmt.Sprintf("%s: phase %d, %d elected, %d passed on", label, timesMet+1, timesMet, timesMet*len(labels)))
	}
}

// TestModuleSlots has workers of the lowest and of the highest slots that there
// can be wait for each other.
func TestModuleSlots(t *testing.T) {
	needModules(t)
	const perFile = 1500
	most := 16384
	if slices.Contains(buildFlags(), "-race") {
		most = 2000 // the detector makes so many registrations take a minute
	}
	files := map[string]string{
		"pg-bgw.hcl":       slotsConf(most),
		"workers.d/00.hcl": meeter("lowest", 4, 2) + fillers(0, 140) + meeter("middle", 4, 0),
		"workers.d/99.hcl": meeter("high", 4, 3) + meeter("highest", 4, 1),
	}
	for from := 140; from < most-4; from += perFile {
		files[fmt.Sprintf("workers.d/10-%05d.hcl", from)] = fillers(from, min(perFile, most-4-from))
	}
	s := start(t, startBus(t), files)
	s.met("lowest", "middle", "high", "highest")
	if h := s.worker("highest").Handle; int(h.Slot) != most-1 {
		t.Errorf("the highest is in slot %d", h.Slot)
	}
}

// TestModuleMoreSlots has workers from before and after max_worker_processes was raised wait for each other.
func TestModuleMoreSlots(t *testing.T) {
	needModules(t)
	workers := meeter("before", 3, 1) + fillers(0, 2)
	s := beside(t, slotsConf(3), workers)
	s.state("before", "running")
	before := s.attached("before")
	s.file("pg-bgw.hcl", slotsConf(1000))
	s.file("workers.d/10.hcl", workers+fillers(2, 130)+meeter("after", 3, 0)+fillers(132, 300)+meeter("last", 3, 2))
	s.again(true)
	s.met("before", "after", "last")
	if w := s.worker("before"); w.Handle != before.Handle || w.StartNumber != 1 {
		t.Errorf("before is %+v", w)
	}
}
