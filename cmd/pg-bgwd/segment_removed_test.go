package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// shared is what there is in shared memory of that segment, or with "" of all.
func (s *supervisor) shared(segment string) []dbusapi.SharedObject {
	s.t.Helper()
	all, err := s.client.SharedMemory(s.ctx(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(o dbusapi.SharedObject) bool { return segment != "" && o.Segment != segment })
}

// memories are how many memfds of that name the daemon has; -1 where we may not see it.
func (s *supervisor) memories(name string) (n int) {
	dir := fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid)
	entries, err := os.ReadDir(dir)
	if err != nil { // it is not dumpable, and we are not root
		return -1
	}
	for _, e := range entries {
		if to, _ := os.Readlink(filepath.Join(dir, e.Name())); strings.HasPrefix(to, "/memfd:"+name+" ") {
			n++
		}
	}
	return n
}

func segmentBlock(size string) string {
	return fmt.Sprintf("segment \"other\" {\n  size = %q\n}\n", size)
}

// TestSegmentRemoved: the memory of a segment that a reload removes is given back
// when its last worker has ended, with the dynamic segments that belong to it,
// and not before; nobody can be registered in it any more. One of its name that
// comes later is a new one.
func TestSegmentRemoved(t *testing.T) {
	s := start(t, startBus(t), map[string]string{
		"pg-bgw.hcl":       segmentBlock("4MiB"),
		"workers.d/10.hcl": strings.Replace(attacher("static", "other"), `"attach"`, `"leave"`, 1) + attacher("witness", "main"),
	})
	d := definition("dynamic", 0, testProgram())
	d.Set |= dbusapi.KeyEnvironment | dbusapi.KeySegment
	d.Environment, d.Segment = map[string]string{"TEST_ROLE": "furnish"}, "other"
	h := s.register(d)
	s.poll("the furniture", func() bool { return s.info(h).StatusText == "furnished" })
	s.poll("the count", func() bool { return s.worker("static").StatusText == "found false count 1" })
	before := s.shared("other")

	s.file("pg-bgw.hcl", "")
	if err := s.client.Reload(s.ctx()); !dbusapi.IsError(err, dbusapi.ErrorConfigurationInvalid) { // a worker still names it
		t.Fatalf("reload says %v", err)
	}
	if now := s.shared("other"); len(now) != len(before) {
		t.Errorf("after a reload that failed there are %d things in the segment, before %d", len(now), len(before))
	}
	s.file("workers.d/10.hcl", attacher("witness", "main"))
	s.again(true)
	if i := s.state("static", "ended"); i.ExitSignal != 0 {
		t.Fatalf("its end is the crash of its segment: %+v", i)
	}
	if o := s.shared("other"); len(o) == 0 || o[0].Kind != dbusapi.SharedSegment || !slices.ContainsFunc(o, func(o dbusapi.SharedObject) bool { return o.Kind == dbusapi.SharedDynamic }) {
		t.Errorf("while a worker uses it, there is %+v", o)
	}
	if _, err := s.client.RegisterDynamicBackgroundWorker(s.ctx(), d, 0); !dbusapi.IsError(err, dbusapi.ErrorInvalidArgs) {
		t.Errorf("a registration in it: %v", err)
	}
	if err := s.client.Terminate(s.ctx(), h); err != nil {
		t.Fatal(err)
	}
	s.says("segment removed")
	if o := s.shared("other"); len(o) != 0 {
		t.Errorf("when nobody is left there is %+v", o)
	}
	for name, want := range map[string]int{"pgbgw-other": 0, "pgbgw-dynamic": 0, "pgbgw-main": 1} {
		if n := s.memories(name); n != want && n >= 0 {
			t.Errorf("the daemon has %d descriptors of %s, not %d", n, name, want)
		}
	}

	s.file("pg-bgw.hcl", segmentBlock("8MiB"))
	s.file("workers.d/10.hcl", attacher("static", "other")+attacher("witness", "main"))
	s.again(true)
	s.poll("a count in a new segment", func() bool { return s.worker("static").StatusText == "found false count 1" })
	if o := s.shared("other"); len(o) == 0 || o[0].Size != 8<<20 {
		t.Errorf("the new segment is %+v", o)
	}
	if w := s.worker("witness"); w.StartNumber != 1 || w.State != "running" {
		t.Errorf("a worker of another segment is %+v", w)
	}
}

// TestSegmentChanged: another size of a segment that there is is no reason to end
// its workers; it is said, and holds from its next renewal on.
func TestSegmentChanged(t *testing.T) {
	s := start(t, startBus(t), map[string]string{"pg-bgw.hcl": segmentBlock("4MiB"), "workers.d/10.hcl": attacher("static", "other")})
	static := s.attached("static")
	s.file("pg-bgw.hcl", segmentBlock("8MiB"))
	s.again(true)
	s.says("a segment stays as it is until it is made anew")
	if o := s.shared("other"); len(o) == 0 || o[0].Size != 4<<20 || s.worker("static").StartNumber != 1 {
		t.Errorf("at once, there is %+v", o)
	}
	sendSignal(t, static.MainPID, syscall.SIGKILL)
	s.poll("its next start", func() bool { w := s.worker("static"); return w.StartNumber == 2 && w.Attached })
	if o := s.shared("other"); len(o) == 0 || o[0].Size != 8<<20 {
		t.Errorf("after the renewal, there is %+v", o)
	}
}

// TestModuleSegmentRemoved: the launcher of modules that a segment had ends with it.
func TestModuleSegmentRemoved(t *testing.T) {
	needModules(t)
	s := beside(t, modulePath()+segmentBlock("4MiB"), moduleWorker("one", "wait", "segment", `"other"`))
	s.says("one: waits")
	first := s.moduleLauncher(0)
	ended := gone(t, uint32(first))
	s.file("pg-bgw.hcl", modulePath())
	s.file("workers.d/10.hcl", "")
	s.again(true)
	ended()
	s.says("segment removed")
	s.file("pg-bgw.hcl", modulePath()+segmentBlock("4MiB"))
	s.file("workers.d/10.hcl", moduleWorker("two", "wait", "segment", `"other"`))
	s.again(true)
	s.says("two: waits")
	if s.moduleLauncher(0) == first {
		t.Error("its launcher is the same " + strconv.Itoa(first))
	}
}
