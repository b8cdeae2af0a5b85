package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/shm"
	"golang.org/x/sys/unix"
)

func furnish(ctx context.Context, w *shm.Worker) int {
	err := w.Attach(ctx)
	area := func(name string, size int) []byte {
		data, _, e := w.Area(name, size)
		if e != nil {
			err = e
			return make([]byte, size)
		}
		return data
	}
	q, e1 := w.CreateQueue(area("a queue", 1024))
	l, e2 := w.CreateLock(area("a lock", shm.LockSize(4)))
	_, e3 := shm.CreateTOC(7, area("a table", 4096))
	for _, e := range []error{err, e1, e2, e3} {
		if e != nil {
			fmt.Println("furnish:", e)
			return 1
		}
	}
	d, _, err := w.NamedDynamic(ctx, "a name", 5000, nil)
	if err == nil {
		_, err = w.CreateLock(d.Data()[1024:])
	}
	if err != nil {
		fmt.Println("furnish:", err)
		return 1
	}
	s, err := q.AttachSender()
	if err == nil {
		err = s.TrySend(shm.Flush, make([]byte, 100))
	}
	if err == nil {
		_, err = l.Acquire(ctx)
	}
	if err == nil {
		err = w.Ready(ctx, "furnished")
	}
	if err != nil {
		fmt.Println("furnish:", err)
		return 1
	}
	<-w.Done()
	return 1
}

// TestSharedMemory: what a worker has put into its segment is seen from
// outside, with who it is, live and after its end; a segment that nobody has
// used has nothing; and one that does not exist is an error.
func TestSharedMemory(t *testing.T) {
	s := start(t, startBus(t), map[string]string{
		"pg-bgw.hcl": "segment \"other\" {\n  size = \"4MB\"\n}\n",
		"workers.d/10.hcl": fmt.Sprintf(`worker "maker" {
  command      = [%q]
  flags        = ["shmem_access"]
  restart_time = "never"
  environment  = { TEST_ROLE = "furnish" }
}
`, testProgram())})
	s.poll("the worker is ready", func() bool { return s.worker("maker").Attached })
	maker := fmt.Sprintf("maker (%d.%d)", s.worker("maker").Handle.Slot, s.worker("maker").Handle.Generation)
	find := func(kind string) dbusapi.SharedObject {
		t.Helper()
		objects, err := s.client.SharedMemory(s.ctx(), "main")
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(objects, func(o dbusapi.SharedObject) bool { return o.Kind == kind })
		if i < 0 {
			return dbusapi.SharedObject{}
		}
		return objects[i]
	}
	s.poll("the lock is held", func() bool { return find(dbusapi.SharedLock).Holder == maker })
	if q := find(dbusapi.SharedQueue); q.Area != "a queue" || q.Ring != 968 || q.Written != 112 || q.Read != 0 || q.Sender != maker || q.Receiver != "" {
		t.Errorf("the queue is %+v", q)
	}
	if m := find(dbusapi.SharedSegment); m.Size != 64<<20 || !slices.Equal(m.Workers, []string{maker}) || m.Damage != "" || m.Cut {
		t.Errorf("the segment is %+v", m)
	}
	if c := find(dbusapi.SharedTOC); c.Key != 7 || c.Area != "a table" {
		t.Errorf("the table is %+v", c)
	}
	if d := find(dbusapi.SharedDynamic); d.Area != "a name" || d.Size != 5000 || !d.Pinned || !slices.Equal(d.Workers, []string{maker}) || d.Key == 0 {
		t.Errorf("the dynamic segment is %+v", d)
	}
	all, err := s.client.SharedMemory(s.ctx(), "")
	if last := all[len(all)-1]; err != nil || last.Kind != dbusapi.SharedLock || last.Area != "a name" || last.Offset != 1024 {
		t.Errorf("in the dynamic segment is %+v, %v", last, err)
	}
	if o, err := s.client.SharedMemory(s.ctx(), "other"); err != nil || len(o) != 0 {
		t.Errorf("a segment that nobody has used has %v, %v", o, err)
	}
	if _, err := s.client.SharedMemory(s.ctx(), "none"); !dbusapi.IsError(err, dbusapi.ErrorInvalidArgs) {
		t.Errorf("a segment that does not exist: %v", err)
	}
	if err := s.client.Stop(s.ctx(), s.worker("maker").Handle); err != nil {
		t.Fatal(err)
	}
	s.state("maker", "held")
	s.poll("new memory after the crash", func() bool {
		all, err := s.client.SharedMemory(s.ctx(), "")
		return err == nil && !slices.ContainsFunc(all, func(o dbusapi.SharedObject) bool { return o.Holder == maker })
	})
}

func init() { bareRoles["scribble"] = scribble }

// scribble fills its whole segment with what begins like locks, again and
// again, all of their places taken by processes that never were.
func scribble() int {
	const segmentFd, size = 3, 64 << 20
	mem, err := unix.Mmap(segmentFd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		fmt.Println("mmap:", err)
		return 1
	}
	lock := []byte("PGBGWLW1\x00\x04\x00\x00\x00\x00\x00\x00")
	for len(lock) < shm.LockSize(1024) {
		lock = append(lock, 0x55)
	}
	from := mem[2<<20:] // behind the header, the areas' records and the latches
	for i := 0; i+len(lock) < len(from); i += len(lock) {
		copy(from[i:], lock)
	}
	record := append(make([]byte, 0, 64), "all of it"...)
	record = binary.LittleEndian.AppendUint64(record[:48], 40<<20)
	record = binary.LittleEndian.AppendUint64(record, binary.LittleEndian.Uint64(mem[112+2*24:]))
	copy(mem[12288:], record)
	mem[4096] = 1
	fmt.Println("scribbled once")
	if os.Getenv("HEADER") != "" {
		clear(mem[:512])
	}
	for {
		_ = unix.Pause() // nobody ends it but a signal
	}
}

// TestSharedMemoryOfAnEnemy: a worker that forges everything that can be
// forged, and one that destroys the header, cost a look at most what the limits
// allow, and the daemon nothing.
func TestSharedMemoryOfAnEnemy(t *testing.T) {
	worker := func(name, segment, header string) string {
		return fmt.Sprintf("worker %q {\n  command = [%q]\n  flags = [\"shmem_access\"]\n  restart_time = \"never\"\n  segment = %q\n  environment = { TEST_ROLE = \"scribble\", HEADER = %q }\n}\n",
			name, testProgram(), segment, header)
	}
	s := start(t, startBus(t), map[string]string{
		"pg-bgw.hcl":       "segment \"torn\" {\n  size = \"64MB\"\n}\n",
		"workers.d/10.hcl": worker("forger", "main", "") + worker("tearer", "torn", "1"),
	})
	s.poll("both are done", func() bool { return strings.Count(s.log.String(), "scribbled once") == 2 })
	s.poll("the torn header", func() bool {
		o, err := s.client.SharedMemory(s.ctx(), "torn")
		return err == nil && len(o) == 1 && o[0].Damage != ""
	})
	o, err := s.client.SharedMemory(s.ctx(), "main")
	if err != nil || len(o) < 3 || !o[0].Cut {
		t.Fatalf("%d objects, %v", len(o), err)
	}
	named := 0
	for i := range o {
		named += len(o[i].Shares) + len(o[i].Waiting)
	}
	if o[1].Area != "all of it" || named == 0 || named > 20000 {
		t.Errorf("area %q, %d processes are named", o[1].Area, named)
	}
	s.state("forger", "running")
}
