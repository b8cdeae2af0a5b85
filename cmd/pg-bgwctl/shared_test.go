package main

import (
	"context"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/policy"
)

// SharedMemory has one of everything in the segment main.
func (d *daemon) SharedMemory(_ context.Context, c dbusapi.Caller, segment string) ([]dbusapi.SharedObject, error) {
	if err := d.decide(policy.Inspect); err != nil {
		return nil, err
	}
	switch segment {
	case "empty":
		return nil, nil
	case "", "main":
	default:
		return nil, dbusapi.Errorf(dbusapi.ErrorInvalidArgs, "segment: there is no segment %q", segment)
	}
	const main = "main"
	in := func(kind string, offset uint64) dbusapi.SharedObject {
		return dbusapi.SharedObject{Kind: kind, Segment: main, Area: "jobs\x1b[31m", Offset: offset}
	}
	queue, lock, free := in(dbusapi.SharedQueue, 0), in(dbusapi.SharedLock, 1024), in(dbusapi.SharedLock, 1100)
	queue.Ring, queue.Written, queue.Read, queue.Sender, queue.ReceiverWaits = 640, 3200, 3040, "cron (0.1)", true
	lock.Places, lock.Tranche, lock.Holder, lock.Waiting = 8, "jobs", "slot 3, gone", []string{"a (1.1)", "b (2.1)", "c (3.1)", "d (4.1)", "e (5.1)"}
	condition, barrier, toc := in(dbusapi.SharedCondition, 1200), in(dbusapi.SharedBarrier, 1300), in(dbusapi.SharedTOC, 2048)
	condition.Waiting = []string{"a (1.1)"}
	barrier.Phase, barrier.Participants, barrier.Arrived, barrier.Static = 7, 3, 2, true
	toc.Key, toc.Size, toc.Free, toc.Entries = 0x79fb2447, 1<<20, 1<<19, 1
	return []dbusapi.SharedObject{
		{Kind: dbusapi.SharedSegment, Segment: main, Size: 64 << 20, Free: 62 << 20, Incarnation: 77, Workers: []string{"cron (0.1)"}},
		{Kind: dbusapi.SharedArea, Segment: main, Area: "jobs\x1b[31m", Offset: 1 << 20, Size: 1 << 21},
		queue, lock, free, condition, barrier, toc,
		{Kind: dbusapi.SharedDynamic, Segment: main, Key: 42, Size: 12345678, Pinned: true, Workers: []string{"cron (0.1)"}},
		{Kind: dbusapi.SharedSegment, Segment: "torn", Damage: "damaged or foreign shared memory", Cut: true},
	}, nil
}
