package supervise

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// dump is the table as text: one line a registration in the order of slots,
// then the segments. Scenario tests compare it.
func (t *table) dump(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d slots, %d live", t.used, t.settings.MaxWorkerProcesses, t.live)
	if t.mode != NotShutdown {
		fmt.Fprintf(&b, ", %s shutdown", t.mode)
	}
	b.WriteByte('\n')
	for _, e := range t.slots {
		if e == nil {
			continue
		}
		i := t.info(e)
		fmt.Fprintf(&b, "%s %s %s %s start %d pid %d", i.Handle, i.Worker.Name, i.State, i.Status, i.Start, i.Pid)
		if i.Attached {
			b.WriteString(" attached")
		}
		if e.goal != goalRun {
			fmt.Fprintf(&b, " goal %s", [...]string{"", "wait", "restart", "hold", "end"}[e.goal])
		}
		if !e.deadline.IsZero() {
			fmt.Fprintf(&b, " in %v", e.deadline.Sub(now))
		}
		switch i.Owner.Kind {
		case BusOwner:
			fmt.Fprintf(&b, " owner %s", i.Owner.Bus)
		case WorkerOwner:
			fmt.Fprintf(&b, " owner %v", i.Owner.Run)
		}
		if i.Reason != "" {
			fmt.Fprintf(&b, " (%s)", i.Reason)
		}
		b.WriteByte('\n')
	}
	for _, name := range slices.Sorted(maps.Keys(t.segments)) {
		s := t.segments[name]
		fmt.Fprintf(&b, "segment %s incarnation %d, %d attached", name, s.incarnation, s.attached)
		if s.crashing {
			b.WriteString(", crashing")
			if !s.renewAt.IsZero() {
				fmt.Fprintf(&b, ", renewed in %v", s.renewAt.Sub(now))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
