package main

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/spf13/cobra"
)

// listColumns are the columns of list. Handles are never cut: half of one names nothing.
var listColumns = []column{
	{title: "WORKER", least: 10},
	{title: "HANDLE"},
	{title: "STATE"},
	{title: "PID", right: true, drop: 1},
	{title: "RESTARTS", right: true, drop: 5},
	{title: "SINCE", least: 9, drop: 3},
	{title: "SEGMENT", least: 4, drop: 4},
	{title: "REASON", least: 16, drop: 2},
}

func newList(a *app) *cobra.Command {
	var all bool
	var states []string
	cmd := &cobra.Command{
		Use:   "list [PATTERN...]",
		Short: "List workers",
		Long: `List workers, all of them or those whose label, name or handle matches one of
the shell patterns. Workers that have ended are shown with --all only.`,
		Example: "  pg-bgwctl list 'cron*'\n  pg-bgwctl list --state=held,restarting\n  pg-bgwctl list --json=short | jq '.[].MainPID'",
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "show workers that have ended, too")
	cmd.Flags().StringSliceVar(&states, "state", nil, "show workers in one of these states only")
	cmd.RunE = func(_ *cobra.Command, patterns []string) error {
		if err := checkFilter(patterns, states); err != nil {
			return err
		}
		return a.withBus(func(ctx context.Context, b *bus) error {
			ws, err := b.Workers(ctx)
			if err != nil {
				return explain(err, "list workers")
			}
			all := all || slices.Contains(states, units.Ended.String())
			listed, err := b.withEnded(ctx, ws, all)
			if err != nil {
				return err
			}
			matching := listed.where(func(w *dbusapi.WorkerInfo) bool { return matches(w, patterns, states) })
			return a.list(matching, all, time.Now())
		})
	}
	return cmd
}

// checkFilter refuses patterns and states that can never match, so that a misspelt one is no empty list.
func checkFilter(patterns, states []string) error {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return &failure{code: codeUsage, text: fmt.Sprintf("%q is not a pattern", p), hint: `use *, ? and [a-z], as in 'cron*'`}
		}
	}
	names := stateNames()
	for _, s := range states {
		if slices.Contains(names, s) {
			continue
		}
		hint := "the states are " + strings.Join(names, ", ")
		if near := nearest(s, names); near != "" {
			hint = fmt.Sprintf("did you mean %q? T%s", near, hint[1:])
		}
		return &failure{code: codeUsage, text: fmt.Sprintf("%q is not a state", s), hint: hint}
	}
	return nil
}

// stateNames returns the words for the states of a worker.
func stateNames() []string {
	var names []string
	for s := units.Waiting; s <= units.Ended; s++ {
		names = append(names, s.String())
	}
	return names
}

func matches(w *dbusapi.WorkerInfo, patterns, states []string) bool {
	if len(states) > 0 && !slices.Contains(states, w.State) {
		return false
	}
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		h, isHandle := parseHandle(p)
		for _, text := range []string{w.Label, w.Definition.Name, handleText(w.Handle)} {
			if ok, err := path.Match(p, text); ok && err == nil {
				return true
			}
		}
		return isHandle && h == w.Handle
	})
}

// list writes ws as a table or JSON; ended ones only with all.
func (a *app) list(ws workers, all bool, now time.Time) error {
	shown := ws
	if !all {
		shown = ws.where(func(w *dbusapi.WorkerInfo) bool { return !hasEnded(w) })
	}
	if a.wantsJSON() {
		return a.writeJSON(shown.objects())
	}
	if len(shown) > 0 {
		if err := a.newBlock().screen.workerTable(a.out, shown, a.legend(), now); err != nil {
			return err
		}
	}
	if !a.legend() {
		return nil
	}
	_, err := fmt.Fprint(a.out, sums(shown, len(ws)-len(shown)))
	return err
}

// workerTable writes workers under headings.
func (s screen) workerTable(out io.Writer, ws workers, headings bool, now time.Time) error {
	rows := make([][]cell, len(ws))
	for i := range ws {
		rows[i] = listRow(&ws[i], now)
	}
	return s.table(out, listColumns, rows, headings)
}

// sums is the last line of list.
func sums(shown workers, hidden int) string {
	running := len(shown.where(runs))
	text := fmt.Sprintf("%s, %d running.", count(len(shown), "worker"), running)
	if len(shown) > 0 {
		text = "\n" + text
	}
	if hidden > 0 {
		text += fmt.Sprintf("\n%d ended not shown: --all", hidden)
	}
	return text + "\n"
}

func listRow(w *dbusapi.WorkerInfo, now time.Time) []cell {
	return []cell{
		{text: safe(title(w))},
		{text: handleText(w.Handle)},
		{text: safe(w.State), style: styleOf(w)},
		{text: pidText(w.MainPID)},
		{text: strconv.FormatUint(w.Restarts, 10)},
		{text: relative(w.Changed.Realtime, now)},
		{text: safe(w.Definition.Segment)},
		{text: waitText(w)},
	}
}

func pidText(pid uint32) string {
	if pid == 0 {
		return "-"
	}
	return strconv.FormatUint(uint64(pid), 10)
}

// styleOf is the colour of a worker's state.
func styleOf(w *dbusapi.WorkerInfo) style {
	switch {
	case runs(w):
		return good
	case w.State == units.Held.String():
		return dim
	case hasEnded(w) && (w.ExitSignal != 0 || w.ExitCode > 0):
		return bad
	case hasEnded(w):
		return dim
	}
	return waiting
}
