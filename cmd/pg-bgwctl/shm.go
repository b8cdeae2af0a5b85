package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/spf13/cobra"
)

// shmColumns are the columns of shm; a segment's own row has no area.
var shmColumns = []column{
	{title: "SEGMENT", least: 8},
	{title: "AREA", least: 10},
	{title: "KIND"},
	{title: "OFFSET", right: true, drop: 2},
	{title: "SIZE", right: true},
	{title: "USED", right: true, drop: 1},
	{title: "DETAILS", least: 16},
}

// sharedKinds are what --kind takes.
var sharedKinds = []string{
	dbusapi.SharedSegment, dbusapi.SharedArea, dbusapi.SharedQueue, dbusapi.SharedLock, dbusapi.SharedCondition,
	dbusapi.SharedBarrier, dbusapi.SharedTOC, dbusapi.SharedDynamic,
}

func newShm(a *app) *cobra.Command {
	var kinds []string
	cmd := &cobra.Command{
		Use:   "shm [SEGMENT...]",
		Short: "Show what lies in shared memory",
		Long: `Show segments, their areas, and the queues, locks, condition variables, barriers
and tables of contents in them, as they are at this moment. Nobody is stopped, and
what workers wrote is shown as it is: it may be seen half changed.`,
		Example: "  pg-bgwctl shm\n  pg-bgwctl shm main --kind=queue,lock\n  pg-bgwctl shm --json=short | jq '.[] | select(.Holder)'",
		RunE: func(_ *cobra.Command, segments []string) error {
			if err := checkKinds(kinds); err != nil {
				return err
			}
			return a.withBus(func(ctx context.Context, b *bus) error { return a.shm(ctx, b, segments, kinds) })
		},
	}
	cmd.Flags().StringSliceVar(&kinds, "kind", nil, "show objects of one of these kinds only")
	return cmd
}

func checkKinds(kinds []string) error {
	for _, k := range kinds {
		if !slices.Contains(sharedKinds, k) {
			return &failure{code: codeUsage, text: fmt.Sprintf("%q is no kind", k), hint: "the kinds are " + strings.Join(sharedKinds, ", ")}
		}
	}
	return nil
}

func (a *app) shm(ctx context.Context, b *bus, segments, kinds []string) error {
	if len(segments) == 0 {
		segments = []string{""}
	}
	var objects []dbusapi.SharedObject
	for _, s := range segments {
		found, err := b.SharedMemory(ctx, s)
		if err != nil {
			return explain(err, "look into shared memory")
		}
		objects = append(objects, found...)
	}
	if len(kinds) > 0 {
		objects = slices.DeleteFunc(objects, func(o dbusapi.SharedObject) bool { return !slices.Contains(kinds, o.Kind) })
	}
	if a.wantsJSON() {
		out := make([]map[string]any, len(objects))
		for i := range objects {
			out[i] = sharedJSON(&objects[i])
		}
		return a.writeJSON(out)
	}
	return a.shmTable(objects)
}

func (a *app) shmTable(objects []dbusapi.SharedObject) error {
	if len(objects) == 0 {
		if a.legend() {
			_, err := fmt.Fprintln(a.out, "No shared memory: a segment is made when its first worker starts.")
			return err
		}
		return nil
	}
	rows := make([][]cell, len(objects))
	for i := range objects {
		o := &objects[i]
		st := plainText
		if o.Damage != "" || o.Cut || strings.HasSuffix(o.Holder, ", gone") {
			st = bad
		}
		rows[i] = []cell{
			{text: safe(o.Segment)}, {text: safe(o.Area)}, {text: safe(o.Kind), style: st},
			{text: offsetText(o)}, {text: sizeText(o)}, {text: usedText(o)}, {text: safe(detailText(o))},
		}
	}
	return a.newBlock().screen.table(a.out, shmColumns, rows, a.legend())
}

func offsetText(o *dbusapi.SharedObject) string {
	if o.Kind == dbusapi.SharedSegment || o.Kind == dbusapi.SharedDynamic {
		return "-"
	}
	return strconv.FormatUint(o.Offset, 10)
}

func sizeText(o *dbusapi.SharedObject) string {
	switch {
	case o.Kind == dbusapi.SharedQueue:
		return amount(o.Ring)
	case o.Size == 0:
		return "-"
	}
	return amount(o.Size)
}

// usedText is how full something is that can be.
func usedText(o *dbusapi.SharedObject) string {
	switch o.Kind {
	case dbusapi.SharedSegment, dbusapi.SharedTOC:
		if o.Free > o.Size || o.Size == 0 {
			return "-"
		}
		return share(o.Size-o.Free, o.Size)
	case dbusapi.SharedQueue:
		if filled := o.Written - o.Read; filled <= o.Ring && o.Ring > 0 {
			return share(filled, o.Ring)
		}
	}
	return "-"
}

// share is part of whole in per cent, and never 0 or 100 where it is not.
func share(part, whole uint64) string {
	percent := uint64(float64(part) / float64(whole) * 100)
	switch {
	case part > 0 && percent == 0:
		return "<1%"
	case part < whole && percent >= 100:
		percent = 99
	}
	return fmt.Sprintf("%d%%", percent)
}

// amount is a number of bytes in the largest unit that does not lose any, or with one digit behind the point.
func amount(n uint64) string {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		one := uint64(1) << (40 - 10*i)
		switch {
		case n >= one && n%one == 0:
			return fmt.Sprintf("%d %s", n/one, unit)
		case n >= 10*one:
			return fmt.Sprintf("%.1f %s", float64(n)/float64(one), unit)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// detailText is what the other columns do not say.
func detailText(o *dbusapi.SharedObject) string {
	var d []string
	add := func(set bool, format string, args ...any) {
		if set {
			d = append(d, fmt.Sprintf(format, args...))
		}
	}
	who := func(key string, list []string) { add(len(list) > 0, "%s %s", key, firstOf(list)) }
	switch o.Kind {
	case dbusapi.SharedQueue:
		add(true, "%s to %s", orNobody(o.Sender), orNobody(o.Receiver))
		add(true, "%s through", amount(o.Read))
		add(o.SenderWaits, "sender waits")
		add(o.ReceiverWaits, "receiver waits")
		add(o.Detached, "detached")
	case dbusapi.SharedLock:
		add(o.Tranche != "", "%s", o.Tranche)
		add(o.Holder != "", "held by %s", o.Holder)
		add(o.Holder == "" && len(o.Shares) == 0, "free")
	case dbusapi.SharedBarrier:
		add(true, "phase %d, %d of %d arrived", o.Phase, o.Arrived, o.Participants)
		add(o.Static, "static")
	case dbusapi.SharedTOC:
		add(true, "magic %#x, %s", o.Key, entries(o.Entries))
	case dbusapi.SharedDynamic:
		add(true, "handle %d", o.Key)
		add(o.Pinned, "pinned")
	}
	who("attached:", o.Workers)
	who("shared by", o.Shares)
	who("waiting:", o.Waiting)
	add(o.Damage != "", "%s", o.Damage)
	add(o.Cut, "there is more")
	return strings.Join(d, "; ")
}

func entries(n uint32) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

func orNobody(name string) string {
	if name == "" {
		return "nobody"
	}
	return name
}

// firstOf is the beginning of a list; --json has all of them.
func firstOf(list []string) string {
	const most = 4
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

// sharedJSON has all fields that the kind has, also those that are 0.
func sharedJSON(o *dbusapi.SharedObject) map[string]any {
	list := func(l []string) []string { return append([]string{}, l...) }
	out := map[string]any{"Kind": o.Kind, "Segment": o.Segment}
	if o.Kind != dbusapi.SharedSegment {
		out["Area"], out["Offset"] = o.Area, o.Offset
	}
	var more map[string]any
	switch o.Kind {
	case dbusapi.SharedSegment:
		more = map[string]any{"Size": o.Size, "Free": o.Free, "Incarnation": o.Incarnation, "Workers": list(o.Workers), "Damage": o.Damage, "Cut": o.Cut}
	case dbusapi.SharedArea:
		more = map[string]any{"Size": o.Size}
	case dbusapi.SharedQueue:
		more = map[string]any{"Ring": o.Ring, "Written": o.Written, "Read": o.Read, "Sender": o.Sender, "Receiver": o.Receiver,
			"SenderWaits": o.SenderWaits, "ReceiverWaits": o.ReceiverWaits, "Detached": o.Detached}
	case dbusapi.SharedLock:
		more = map[string]any{"Places": o.Places, "Tranche": o.Tranche, "Holder": o.Holder, "Shares": list(o.Shares), "Waiting": list(o.Waiting)}
	case dbusapi.SharedCondition:
		more = map[string]any{"Places": o.Places, "Waiting": list(o.Waiting)}
	case dbusapi.SharedBarrier:
		more = map[string]any{"Phase": o.Phase, "Participants": o.Participants, "Arrived": o.Arrived, "Static": o.Static, "Waiting": list(o.Waiting)}
	case dbusapi.SharedTOC:
		more = map[string]any{"Key": o.Key, "Size": o.Size, "Free": o.Free, "Entries": o.Entries}
	case dbusapi.SharedDynamic:
		more = map[string]any{"Key": o.Key, "Size": o.Size, "Workers": list(o.Workers), "Pinned": o.Pinned, "Damage": o.Damage, "Cut": o.Cut}
	}
	for k, v := range more {
		out[k] = v
	}
	return out
}
