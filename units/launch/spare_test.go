package launch

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// Cgroups that were prepared are what starts get, whatever has become of them; others
// are removed, and nothing is left at the end.
func TestPreparedCgroups(t *testing.T) {
	r := newRig(t, true)
	c := r.Cgroups()
	there := func() (ids []string) {
		all, err := filepath.Glob(c.Root() + "/" + workerPrefix + "*")
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range all {
			ids = append(ids, filepath.Base(dir)[len(workerPrefix):])
		}
		slices.Sort(ids)
		return ids
	}
	expect := func(ids ...string) {
		t.Helper()
		if got := there(); !slices.Equal(got, ids) {
			t.Errorf("there are %v, want %v", got, ids)
		}
	}
	run := func(id string) {
		t.Helper()
		s := spec("exit 0")
		s.ID = id
		_, exits := r.start(s)
		if e := <-exits; e.Status != 0 {
			t.Errorf("%s: %v", id, e.Status)
		}
	}
	c.Prepare([]string{"1.1.1", "2.1.1", "3.1.1"})
	expect("1.1.1", "2.1.1", "3.1.1")
	run("2.1.1")
	expect("1.1.1", "3.1.1")
	run("2.1.1") // made as ever
	c.Prepare([]string{"3.1.1", "4.1.1"})
	expect("3.1.1", "4.1.1")
	if err := os.Remove(c.Root() + "/" + workerPrefix + "3.1.1"); err != nil {
		t.Fatal(err)
	}
	run("3.1.1") // somebody has removed it
	if err := unix.Mkdirat(c.dir, workerPrefix+"5.1.1", 0o755); err != nil {
		t.Fatal(err)
	}
	c.Prepare([]string{"5.1.1"}) // not ours to give or to remove
	expect("5.1.1")
	if err := c.rmdir("5.1.1"); err != nil {
		t.Fatal(err)
	}
	c.Prepare([]string{"6.1.1"})
	c.Unprepare()
	expect()
	c.Prepare([]string{"7.1.1"})
	expect()
	run("7.1.1")
}
