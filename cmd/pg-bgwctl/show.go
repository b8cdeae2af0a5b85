package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/spf13/cobra"
)

// property is one property of an object: its D-Bus name, which is also its key in JSON, and its value.
type property[T any] struct {
	name string
	get  func(*T) any
}

type workerInfo = dbusapi.WorkerInfo

// workerProperties are those of org.pgbgw1.Worker, and the handle before them.
var workerProperties = []property[workerInfo]{
	{"Handle", func(w *workerInfo) any { return handleText(w.Handle) }},
	{"Label", func(w *workerInfo) any { return w.Label }},
	{"Name", func(w *workerInfo) any { return w.Definition.Name }},
	{"Type", func(w *workerInfo) any { return w.Definition.Type }},
	{"State", func(w *workerInfo) any { return w.State }},
	{"Status", func(w *workerInfo) any { return string(w.Status) }},
	{"Reason", func(w *workerInfo) any { return w.Reason }},
	{"StatusText", func(w *workerInfo) any { return w.StatusText }},
	{"WaitsFor", func(w *workerInfo) any { return w.WaitsFor }},
	{"MainPID", func(w *workerInfo) any { return w.MainPID }},
	{"StartNumber", func(w *workerInfo) any { return w.StartNumber }},
	{"Restarts", func(w *workerInfo) any { return w.Restarts }},
	{"StateTimestamp", func(w *workerInfo) any { return w.Changed.Realtime }},
	{"StateTimestampMonotonic", func(w *workerInfo) any { return w.Changed.Monotonic }},
	{"NextStartTimestamp", func(w *workerInfo) any { return w.NextStart }},
	{"ExitCode", func(w *workerInfo) any { return w.ExitCode }},
	{"ExitSignal", func(w *workerInfo) any { return w.ExitSignal }},
	{"ExitOOM", func(w *workerInfo) any { return w.ExitOOM }},
	{"Attached", func(w *workerInfo) any { return w.Attached }},
	{"Held", func(w *workerInfo) any { return w.Held }},
	{"Owner", func(w *workerInfo) any { return w.Owner }},
	{"Dynamic", func(w *workerInfo) any { return w.Dynamic }},
	{"Template", func(w *workerInfo) any { return w.Template }},
	{"Slot", func(w *workerInfo) any { return w.Handle.Slot }},
	{"Generation", func(w *workerInfo) any { return w.Handle.Generation }},
	{"Flags", func(w *workerInfo) any { return w.Definition.Flags }},
	{"StartTime", func(w *workerInfo) any { return w.Definition.StartTime }},
	{"RestartTime", func(w *workerInfo) any { return w.Definition.RestartTime }},
	{"Command", func(w *workerInfo) any { return w.Definition.Command }},
	{"LibraryName", func(w *workerInfo) any { return w.Definition.LibraryName }},
	{"FunctionName", func(w *workerInfo) any { return w.Definition.FunctionName }},
	{"MainArg", func(w *workerInfo) any { return w.Definition.MainArg }},
	{"Extra", func(w *workerInfo) any { return w.Definition.Extra }},
	{"NotifyPid", func(w *workerInfo) any { return w.Definition.NotifyPid }},
	{"Database", func(w *workerInfo) any { return w.Definition.Database }},
	{"Role", func(w *workerInfo) any { return w.Definition.Role }},
	{"Environment", func(w *workerInfo) any { return w.Definition.Environment }},
	{"Segment", func(w *workerInfo) any { return w.Definition.Segment }},
	{"Attach", func(w *workerInfo) any { return w.Attach }},
	{"Server", func(w *workerInfo) any { return w.Definition.Server }},
	{"User", func(w *workerInfo) any { return w.User }},
	{"KillSignal", func(w *workerInfo) any { return w.Definition.KillSignal }},
	{"KillTimeoutUSec", func(w *workerInfo) any { return w.Definition.KillTimeoutUSec }},
	{"StopWithOwner", func(w *workerInfo) any { return w.Definition.StopWithOwner }},
}

// managerProperties are those of org.pgbgw1.Manager.
var managerProperties = []property[dbusapi.ManagerInfo]{
	{"Version", func(m *dbusapi.ManagerInfo) any { return m.Version }},
	{"MaxWorkerProcesses", func(m *dbusapi.ManagerInfo) any { return m.MaxWorkerProcesses }},
	{"NWorkers", func(m *dbusapi.ManagerInfo) any { return m.Workers }},
	{"NRunning", func(m *dbusapi.ManagerInfo) any { return m.Running }},
	{"StartTimestamp", func(m *dbusapi.ManagerInfo) any { return m.Started.Realtime }},
	{"StartTimestampMonotonic", func(m *dbusapi.ManagerInfo) any { return m.Started.Monotonic }},
	{"StandaloneMode", func(m *dbusapi.ManagerInfo) any { return m.Standalone }},
	{"Phases", func(m *dbusapi.ManagerInfo) any { return m.Phases }},
	{"ConfigurationState", func(m *dbusapi.ManagerInfo) any { return m.ConfigurationState }},
}

func newShow(a *app) *cobra.Command {
	var only []string
	var value bool
	cmd := &cobra.Command{
		Use:   "show [WORKER...]",
		Short: "Show the properties of workers, or of the service",
		Long: `Show the properties of workers, or without one those of the service, one in a
line, under the names that they have on the bus.`,
		Example:           "  pg-bgwctl show cron\n  pg-bgwctl show -p MainPID --value cron",
		ValidArgsFunction: a.completeWorkers,
	}
	cmd.Flags().StringSliceVarP(&only, "property", "p", nil, "show these properties only")
	cmd.Flags().BoolVar(&value, "value", false, "show values without names")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return a.showManager(only, value)
		}
		return a.showWorkers(args, only, value)
	}
	return cmd
}

func (a *app) showManager(only []string, value bool) error {
	props, err := pick(managerProperties, only)
	if err != nil {
		return err
	}
	return a.withBus(func(ctx context.Context, b *bus) error {
		m, err := b.Manager(ctx)
		if err != nil {
			return explain(err, "show the service")
		}
		if a.wantsJSON() {
			return a.writeJSON(object(props, &m))
		}
		return a.showLines(lines(props, &m, value))
	})
}

func (a *app) showWorkers(args, only []string, value bool) error {
	props, err := pick(workerProperties, only)
	if err != nil {
		return err
	}
	objects := []map[string]any{}
	worst := codeOK
	err = a.withBus(func(ctx context.Context, b *bus) error {
		ws, err := b.index(ctx, "show workers")
		if err != nil {
			return err
		}
		printed := 0
		for _, arg := range args {
			w, err := b.find(ctx, ws, arg)
			if err != nil {
				worst = max(worst, a.report(err))
				continue
			}
			if a.wantsJSON() {
				objects = append(objects, object(props, &w))
				continue
			}
			text := lines(props, &w, value)
			if printed++; printed > 1 && !value {
				text = "\n" + text
			}
			if err := a.showLines(text); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && a.wantsJSON() {
		err = a.writeJSON(objects)
	}
	if err != nil {
		return err
	}
	return ended(worst)
}

func (a *app) showLines(text string) error {
	_, err := io.WriteString(a.out, text)
	return err
}

// pick returns the properties named in only, in that order, or all. Names are matched without regard to case.
func pick[T any](all []property[T], only []string) ([]property[T], error) {
	if len(only) == 0 {
		return all, nil
	}
	var out []property[T]
	for _, name := range only {
		i := slices.IndexFunc(all, func(p property[T]) bool { return strings.EqualFold(p.name, name) })
		if i < 0 {
			return nil, unknownProperty(name, names(all))
		}
		out = append(out, all[i])
	}
	return out, nil
}

func unknownProperty(name string, known []string) error {
	hint := "the properties are " + strings.Join(known, ", ")
	if near := nearest(name, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return &failure{code: codeUsage, text: fmt.Sprintf("there is no property %q", name), hint: hint}
}

func names[T any](props []property[T]) []string {
	out := make([]string, len(props))
	for i, p := range props {
		out[i] = p.name
	}
	return out
}

// object returns the properties of v for JSON.
func object[T any](props []property[T], v *T) map[string]any {
	out := make(map[string]any, len(props))
	for _, p := range props {
		out[p.name] = p.get(v)
	}
	return out
}

// objects returns all properties of all workers for JSON; an empty list is not null.
func (ws workers) objects() []map[string]any {
	out := make([]map[string]any, len(ws))
	for i := range ws {
		out[i] = object(workerProperties, &ws[i])
	}
	return out
}

// lines writes properties as NAME=VALUE, or as values alone.
func lines[T any](props []property[T], v *T, value bool) string {
	var b strings.Builder
	for _, p := range props {
		if !value {
			b.WriteString(p.name + "=")
		}
		b.WriteString(valueText(p.name, p.get(v)) + "\n")
	}
	return b.String()
}

// valueText writes a value in one line that is the same for the same value: lists as a shell would take them, bytes in
// hexadecimal, dictionaries sorted.
func valueText(name string, v any) string {
	switch v := v.(type) {
	case string:
		return safe(v)
	case []string:
		return safe(quotedAll(v))
	case []byte:
		return fmt.Sprintf("%x", v)
	case map[string]string:
		var words []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			words = append(words, k+"="+v[k])
		}
		return safe(quotedAll(words))
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case uint64:
		if v == math.MaxUint64 && strings.HasSuffix(name, "USec") {
			return "infinity"
		}
	}
	return fmt.Sprint(v)
}
