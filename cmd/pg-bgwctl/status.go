package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/spf13/cobra"
)

func newStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status [WORKER...]",
		Short: "Show workers, or the service, in detail",
		Long: `Show workers in detail, or without one the service, its servers and its workers.
The exit code is 3 when one of them, or the service, does not run, and 4 when
there is no such worker.`,
		ValidArgsFunction: a.completeWorkers,
		RunE: func(_ *cobra.Command, args []string) error {
			err := a.withBus(func(ctx context.Context, b *bus) error {
				if len(args) == 0 {
					return a.statusManager(ctx, b)
				}
				return a.statusWorkers(ctx, b, args)
			})
			if f, ok := err.(*failure); ok && absent(f.cause) {
				f.code = codeNotRunning
			}
			return err
		},
	}
}

func (a *app) statusManager(ctx context.Context, b *bus) error {
	m, err := b.Manager(ctx)
	if err != nil {
		return explain(err, "show the service")
	}
	servers, err := b.Servers(ctx)
	if err != nil {
		return explain(err, "show servers")
	}
	ws, err := b.Workers(ctx)
	if err != nil {
		return explain(err, "list workers")
	}
	if a.wantsJSON() {
		all := object(managerProperties, &m)
		all["Servers"], all["Workers"] = serverObjects(servers), workers(ws).objects()
		return a.writeJSON(all)
	}
	return a.writeStatus(&m, servers, ws, time.Now())
}

// writeStatus writes what there is to know of the service at a glance: itself, its servers, its workers.
func (a *app) writeStatus(m *dbusapi.ManagerInfo, servers []serverInfo, ws workers, now time.Time) error {
	s := a.newBlock().screen
	var text strings.Builder
	text.WriteString(a.managerBlock(m, now))
	if len(servers) > 0 {
		text.WriteByte('\n')
	}
	if err := s.serverTable(&text, servers, a.legend(), now); err != nil {
		return err
	}
	if len(ws) > 0 {
		text.WriteByte('\n')
		if err := s.workerTable(&text, ws, a.legend(), now); err != nil {
			return err
		}
	}
	_, err := io.WriteString(a.out, text.String())
	return err
}

func (a *app) statusWorkers(ctx context.Context, b *bus, args []string) error {
	ws, err := b.index(ctx, "show workers")
	if err != nil {
		return err
	}
	worst, found := codeOK, workers{}
	for _, arg := range args {
		w, err := b.find(ctx, ws, arg)
		if err != nil {
			worst = max(worst, a.report(err))
			continue
		}
		if !runs(&w) {
			worst = max(worst, codeNotRunning)
		}
		if len(found) > 0 && !a.wantsJSON() {
			fmt.Fprintln(a.out)
		}
		found = append(found, w)
		if !a.wantsJSON() {
			if _, err := io.WriteString(a.out, a.workerBlock(&w, time.Now())); err != nil {
				return err
			}
		}
	}
	if a.wantsJSON() {
		if err := a.writeJSON(found.objects()); err != nil {
			return err
		}
	}
	return ended(worst)
}

// block collects lines of the form "   Key: value", keys right-aligned.
type block struct {
	screen screen
	text   strings.Builder
}

const keyColumns = 12

// line adds one line; an empty value adds none. value is safe.
func (b *block) line(key, value string) {
	if value != "" {
		fmt.Fprintf(&b.text, "%*s: %s\n", keyColumns, key, b.screen.fit(value, keyColumns+2))
	}
}

// painted adds a line whose first word has a colour. It is cut before it is painted: a colour takes no columns.
func (b *block) painted(key string, st style, word, rest string) {
	line := b.screen.fit(word+rest, keyColumns+2)
	if rest, ok := strings.CutPrefix(line, word); ok {
		line = b.screen.paint(st, word) + rest
	}
	fmt.Fprintf(&b.text, "%*s: %s\n", keyColumns, key, line)
}

// uncut adds a line that is of use only as a whole: a command, a handle.
func (b *block) uncut(key, value string) { fmt.Fprintf(&b.text, "%*s: %s\n", keyColumns, key, value) }

func (a *app) newBlock() *block {
	s := a.screen
	if a.full {
		s.width = 0
	}
	return &block{screen: s}
}

// heading adds the first line: a mark coloured by state, what it is, and what it is called besides.
func (b *block) heading(st style, text, more string) {
	mark := "*"
	if b.screen.unicode {
		mark = map[style]string{good: "●", bad: "×", dim: "○"}[st]
		if mark == "" {
			mark = "●"
		}
	}
	if more != "" && more != text {
		text += " - " + more
	}
	fmt.Fprintf(&b.text, "%s %s\n", b.screen.paint(st, mark), b.screen.fit(text, 2))
}

func (a *app) managerBlock(m *dbusapi.ManagerInfo, now time.Time) string {
	b := a.newBlock()
	st := good
	if m.ConfigurationState != "ok" && m.ConfigurationState != "" {
		st = waiting
	}
	b.heading(st, "pg-bgw", "background workers")
	b.line("Version", safe(m.Version))
	b.line("Running", fmt.Sprintf("since %s; %s", stamp(m.Started.Realtime, now), relative(m.Started.Realtime, now)))
	b.line("Workers", fmt.Sprintf("%d of at most %d, %d running", m.Workers, m.MaxWorkerProcesses, m.Running))
	if m.Standalone {
		b.line("Server", "none, standalone")
	}
	b.line("Files", safe(m.ConfigurationState))
	b.uncut("Logs", "journalctl -u pg-bgw")
	return b.text.String()
}

func (a *app) workerBlock(w *workerInfo, now time.Time) string {
	b := a.newBlock()
	d := &w.Definition
	b.heading(styleOf(w), safe(title(w)), safe(d.Name))
	b.uncut("Handle", fmt.Sprintf("%s (%s)", handleText(w.Handle), w.Handle.Path()))
	b.painted("State", styleOf(w), safe(w.State), fmt.Sprintf(" since %s; %s", stamp(w.Changed.Realtime, now), relative(w.Changed.Realtime, now)))
	b.line("Reason", safe(w.Reason))
	b.line("Waits for", safe(w.WaitsFor))
	b.line("Says", safe(w.StatusText))
	if w.MainPID != 0 {
		b.line("Main PID", pidText(w.MainPID))
	}
	if w.StartNumber > 0 {
		b.line("Starts", fmt.Sprintf("%d, %s", w.StartNumber, count(w.Restarts, "restart")))
	}
	b.line("Last exit", exitText(w))
	if w.NextStart != 0 {
		b.line("Next start", fmt.Sprintf("%s; %s", relative(w.NextStart, now), stamp(w.NextStart, now)))
	}
	a.definitionLines(b, w)
	b.uncut("Logs", logsCommand(w))
	return b.text.String()
}

// exitText says how the last process ended, in PostgreSQL's words; empty when none has.
func exitText(w *workerInfo) string {
	if w.ExitCode < 0 && w.ExitSignal == 0 {
		return ""
	}
	if w.ExitSignal != 0 {
		text := fmt.Sprintf("was terminated by signal %d: %s", w.ExitSignal, units.Signal(w.ExitSignal))
		if w.ExitOOM {
			text += " (out of memory)"
		}
		return text
	}
	return fmt.Sprintf("exited with exit code %d", w.ExitCode)
}

// definitionLines adds the summary of what was registered.
func (a *app) definitionLines(b *block, w *workerInfo) {
	d := &w.Definition
	if d.Type != d.Name {
		b.line("Type", safe(d.Type))
	}
	if len(d.Command) > 0 {
		b.line("Command", codeLine(w))
	} else {
		b.line("Function", codeLine(w))
	}
	b.line("Flags", safe(strings.Join(d.Flags, ", ")))
	b.line("Start", fmt.Sprintf("at %s, again %s", safe(d.StartTime), restartRule(d.RestartTime)))
	b.line("Stop", fmt.Sprintf("by %s, killed %s", safe(d.KillSignal), killRule(d.KillTimeoutUSec)))
	segment := safe(d.Segment)
	if w.Attached {
		segment += ", attached"
	}
	b.line("Segment", segment)
	if d.Database != "" || d.Role != "" {
		b.line("Database", strings.TrimSpace(safe(d.Database)+roleText(d.Role)))
	}
	b.line("Server", safe(w.Definition.Server))
	b.line("User", safe(w.User))
	b.line("Template", safe(w.Template))
	b.line("Owner", safe(w.Owner))
}

func roleText(role string) string {
	if role == "" {
		return ""
	}
	return " as role " + safe(role)
}

func restartRule(seconds int32) string {
	if seconds < 0 {
		return "never"
	}
	return "after " + exact(units.RestartTime(seconds).Duration())
}

func killRule(usec uint64) string {
	if usec >= math.MaxInt64/1000 {
		return "never"
	}
	return "after " + exact(time.Duration(usec)*time.Microsecond)
}

// exact writes a duration with all its units but those that are 0: "1h", "1h30m", "500ms".
func exact(d time.Duration) string {
	text := d.String()
	if s, ok := strings.CutSuffix(text, "m0s"); ok {
		text = s + "m"
	}
	if s, ok := strings.CutSuffix(text, "h0m"); ok {
		text = s + "h"
	}
	return text
}

// logsCommand is the command that shows what a worker wrote (under its type, unless the definition names another
// identifier) and what the daemon says about it.
func logsCommand(w *workerInfo) string {
	match := fmt.Sprintf("PGBGW_SLOT=%d PGBGW_GENERATION=%d", w.Handle.Slot, w.Handle.Generation)
	if w.Label != "" {
		match = quoted("PGBGW_WORKER=" + w.Label)
	}
	return safe("journalctl " + quoted("SYSLOG_IDENTIFIER="+w.Definition.Type) + " + " + match)
}
