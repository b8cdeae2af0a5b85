package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// One cycle of a server, and of the workers of a pg-bgwd that watches it: each
// step comes to its end, and each gives a figure.
func TestCycle(t *testing.T) {
	need(t, "dbus-daemon")
	need(t, "go")
	t.Chdir("../..")
	b := newTestLab(t)
	if err := os.Chmod(filepath.Dir(os.Getenv("TMPDIR")), 0o755); err != nil { // the server is another user's
		t.Fatal(err)
	}
	if len(postgresMajors()) == 0 {
		need(t, "/usr/lib/postgresql/15/bin/postgres")
	}
	c, err := newFollowed(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	r := &followRunner{lab: b, cluster: c, results: results{}, opt: options{rounds: 1}}
	if err := r.openOurs(); err != nil {
		t.Fatal(err)
	}
	f := r.followers[0]
	if err := f.ours.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.ours.close() })
	var got []string
	y := &cycle{followed: c, book: f.book, foreign: true, add: func(metric string, ns int64) {
		got = append(got, metric)
		if ns < -60e9 || ns > 60e9 {
			t.Errorf("%s took %d ns", metric, ns)
		}
	}}
	if err := y.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(serverMetrics)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("measured %q, want %q", got, want)
	}
}
