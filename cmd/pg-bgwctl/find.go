package main

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/units"
)

// workers are what the daemon lists.
type workers []dbusapi.WorkerInfo

// handleText is a handle as it is shown and typed: "3.17".
func handleText(h dbusapi.Handle) string { return units.Handle(h).String() }

// title is what a worker is called in tables: its label where the administrator gave one, else its name.
func title(w *dbusapi.WorkerInfo) string {
	if w.Dynamic {
		return cmp.Or(w.Definition.Name, w.Label, handleText(w.Handle))
	}
	return cmp.Or(w.Label, w.Definition.Name, handleText(w.Handle))
}

// hasEnded reports whether w is unregistered and only still readable.
func hasEnded(w *dbusapi.WorkerInfo) bool { return w.State == units.Ended.String() }

// runs reports whether w has a process that is not on its way out.
func runs(w *dbusapi.WorkerInfo) bool { return w.State == units.Running.String() }

// parseHandle reads the three spellings of a handle: 3.17, s3_g17 and an object path.
func parseHandle(text string) (dbusapi.Handle, bool) {
	if h, ok := units.ParseHandle(text); ok {
		return dbusapi.Handle(h), true
	}
	if !strings.HasPrefix(text, "/") {
		text = path.Dir(string(dbusapi.Handle{}.Path())) + "/" + text
	}
	h, err := dbusapi.ParseHandle(dbus.ObjectPath(text))
	return h, err == nil
}

// match returns the workers that text may mean, one if it is clear. Labels and handles go before names, which whoever
// registers a worker can choose freely; workers that have not ended before those that have; and of several ended ones
// with one label the last counts, since they are lives of one definition.
func (ws workers) match(text string) workers {
	h, isHandle := parseHandle(text)
	found := ws.where(func(w *dbusapi.WorkerInfo) bool {
		return isHandle && w.Handle == h || w.Label == text && text != ""
	})
	byLabel := len(found) > 0
	if !byLabel {
		found = ws.where(func(w *dbusapi.WorkerInfo) bool { return w.Definition.Name == text && text != "" })
	}
	if live := found.where(func(w *dbusapi.WorkerInfo) bool { return !hasEnded(w) }); len(live) > 0 {
		found = live
	} else if byLabel && len(found) > 1 && !isHandle {
		last := slices.MaxFunc(found, func(a, b dbusapi.WorkerInfo) int {
			return cmp.Or(cmp.Compare(a.Changed.Realtime, b.Changed.Realtime), cmp.Compare(a.Handle.Generation, b.Handle.Generation))
		})
		found = workers{last}
	}
	return found
}

// refuse is the error for a text that means found of ws: nil for one worker.
func (ws workers) refuse(text string, found workers) error {
	switch len(found) {
	case 1:
		return nil
	case 0:
		_, isHandle := parseHandle(text)
		return ws.unknown(text, isHandle)
	}
	return found.ambiguous(text)
}

func (ws workers) where(keep func(*dbusapi.WorkerInfo) bool) workers {
	var out workers
	for i := range ws {
		if keep(&ws[i]) {
			out = append(out, ws[i])
		}
	}
	return out
}

// titles returns the labels and names of the workers, once each.
func (ws workers) titles() []string {
	var out []string
	for i := range ws {
		out = append(out, ws[i].Label, ws[i].Definition.Name)
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(s string) bool { return s == "" })
}

// unknown is the error for a text that means no worker.
func (ws workers) unknown(text string, isHandle bool) error {
	f := &failure{code: codeNoWorker, text: fmt.Sprintf("there is no worker %q", text),
		hint: "see: pg-bgwctl list --all"}
	if isHandle {
		f.hint = "its registration is over, and every registration gets another handle; see: pg-bgwctl list"
	} else if near := nearest(text, ws.titles()); near != "" {
		f.hint = fmt.Sprintf("did you mean %q? All of them: pg-bgwctl list", near)
	}
	return f
}

// ambiguousShown is how many workers an ambiguous text is answered with.
const ambiguousShown = 20

// ambiguous is the error for a text that means all of ws: their handles, and what tells them apart.
func (ws workers) ambiguous(text string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%q is the label or name of %d workers:", text, len(ws))
	for i := range ws[:min(len(ws), ambiguousShown)] {
		w := &ws[i]
		fmt.Fprintf(&b, "\n  %s  %s", handleText(w.Handle), safe(w.State))
		if w.MainPID != 0 {
			fmt.Fprintf(&b, ", pid %d", w.MainPID)
		}
		fmt.Fprintf(&b, ", since %s, runs %s", stamp(w.Changed.Realtime, time.Now()), cut(codeLine(w), 60, "..."))
	}
	if len(ws) > ambiguousShown {
		fmt.Fprintf(&b, "\n  and %d more", len(ws)-ambiguousShown)
	}
	return &failure{code: codeFailed, text: b.String(), hint: "use the handle of one of them"}
}

// codeLine is what w runs, in one line: the command, or the function and its library.
func codeLine(w *dbusapi.WorkerInfo) string {
	if d := &w.Definition; len(d.Command) == 0 {
		return safe(d.FunctionName + " of " + d.LibraryName)
	}
	return safe(quotedAll(w.Definition.Command))
}

// nearest returns the candidate that is at most a third of its length away from word, or "".
func nearest(word string, candidates []string) string {
	best, least := "", 0
	for _, c := range candidates {
		if len(c) > 128 || len(word) > 128 {
			continue
		}
		n := editDistance(strings.ToLower(word), strings.ToLower(c))
		if n <= max(len(c)/3, 1) && n < len(c) && (best == "" || n < least) {
			best, least = c, n
		}
	}
	return best
}

// editDistance is how many letters to change, add, leave out or swap with their neighbour make b of a.
func editDistance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			row[j] = last[j-1]
			if a[i-1] != b[j-1] {
				row[j]++
			}
			row[j] = min(row[j], last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
