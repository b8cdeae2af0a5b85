package shm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// furnished is a segment with one or two of everything.
func furnished(t testing.TB) (*Segment, *attachment) {
	t.Helper()
	segment := create(t, "main", MinSize)
	a := attached(t, segment)
	p := newTestParty(t, 1)
	area := func(name string, size int) []byte {
		data, _, err := a.areas.find(name, size)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	queues := area("queues", 64+wideQueue)
	q, err := p.createQueue(queues[:64])
	must(err)
	_, err = q.AttachReceiver()
	must(err)
	wide, err := p.createQueue(queues[64:])
	must(err)
	s, err := wide.AttachSender()
	must(err)
	must(s.TrySend(Flush, message(20), binary.LittleEndian.AppendUint64(nil, lockMagic))) // is not to be found
	must(s.TrySend(NoFlush, message(8)))

	locks := area("locks", 8+2*LockSize(2))
	number, err := a.tranches.find("my locks")
	must(err)
	l, err := p.createLock(locks[8 : 8+LockSize(2)])
	must(err)
	l.SetTranche(number)
	acquire(t, l)
	shared, err := p.createLock(locks[8+LockSize(2):])
	must(err)
	share(t, shared)
	share(t, shared)
	shared.standBy()

	mixed := area("mixed", TOCSize(ConditionSize(2), BarrierSize(3)))
	toc, err := CreateTOC(77, mixed)
	must(err)
	c1, err := toc.Allocate(ConditionSize(2))
	must(err)
	must(toc.Insert(1, c1))
	c2, err := toc.Allocate(BarrierSize(3))
	must(err)
	condition, err := p.createCondition(c1.Data)
	must(err)
	condition.PrepareToSleep()
	b, err := p.createBarrier(c2.Data, 0)
	must(err)
	_, err = b.Attach()
	must(err)
	_, err = b.Attach()
	must(err)
	_, _, err = b.arrive()
	must(err)
	b.condition.PrepareToSleep()
	return segment, a
}

// TestInspect: everything is found, as it is.
func TestInspect(t *testing.T) {
	segment, _ := furnished(t)
	got, err := Inspect(segment.Fd())
	if err != nil {
		t.Fatal(err)
	}
	me := Party{Slot: 1, Generation: 17, Start: 2}
	if !me.Is(Handle{Slot: 1, Generation: 5<<24 + 17}, 2) || me.Is(Handle{Slot: 1, Generation: 17}, 3) || me.Is(Handle{Slot: 1, Generation: 18}, 2) {
		t.Error("a party is not who it is")
	}
	at := newSegmentHeader("main", MinSize, 1).section[sectionData].offset
	h := newSegmentHeader("main", MinSize, 1)
	want := Report{
		Name: "main", Size: MinSize, Incarnation: segment.Incarnation(), Room: h.section[sectionData].length,
		Tranches: []string{"my locks"},
		Areas: []AreaReport{
			{Name: "queues", Offset: at, Size: 64 + wideQueue, Contents: Contents{Queues: []QueueReport{
				{Ring: 8, Receiver: &me},
				{Offset: 64, Ring: wideQueue - 384, Written: 40, Sender: &me},
			}}},
			{Name: "locks", Offset: at + roundUp(64+wideQueue), Size: 8 + 2*uint64(LockSize(2)), Contents: Contents{Locks: []LockReport{
				{Offset: 8, Places: 2, Tranche: "my locks", Holder: &me},
				{Offset: 8 + uint64(LockSize(2)), Places: 2, Shares: []Party{me, me}, Waiting: []Party{me}},
			}}},
		},
	}
	mixed := AreaReport{Name: "mixed", Offset: want.Areas[1].Offset + roundUp(want.Areas[1].Size), Size: uint64(TOCSize(ConditionSize(2), BarrierSize(3)))}
	mixed.TOCs = []TOCReport{{Key: 77, Size: mixed.Size, Entries: 1, Free: 32}}
	mixed.Conditions = []ConditionReport{{Offset: mixed.Size - 64, Places: 2, Waiting: []Party{me}}}
	mixed.Barriers = []BarrierReport{{Offset: mixed.Size - 64 - 128, Participants: 2, Arrived: 1, Waiting: []Party{me}}}
	want.Areas = append(want.Areas, mixed)
	want.Free = want.Room - (mixed.Offset - at) - roundUp(mixed.Size)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	c, cut, err := InspectMemory(segment.Fd(), MinSize)
	if err != nil || cut || len(c.Queues) != 2 || len(c.Locks) != 2 || len(c.Barriers) != 1 {
		t.Errorf("as plain memory: %+v, %v, %v", c, cut, err)
	}
	if _, cut, err := InspectMemory(segment.Fd(), 1<<40); err != nil || !cut {
		t.Errorf("shorter than was said: %v, %v", cut, err)
	}
}

// TestInspectQueues: each size of a queue is told apart, from its first byte
// on.
func TestInspectQueues(t *testing.T) {
	segment := create(t, "main", MinSize)
	a := attached(t, segment)
	p := newTestParty(t, 1)
	sizes := []int{64, 3760, 3768, 4088, 4095, 4096, 4416, 4424, 8192}
	for i, size := range sizes {
		data, _, err := a.areas.find(fmt.Sprint(i), size)
		if err != nil {
			t.Fatal(err)
		}
		q, err := p.createQueue(data)
		if err != nil {
			t.Fatal(err)
		}
		s, err := q.AttachSender()
		if err == nil && i%2 == 0 {
			err = s.TrySend(Flush)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := Inspect(segment.Fd())
	if err != nil {
		t.Fatal(err)
	}
	for i, area := range r.Areas {
		want := QueueReport{Ring: uint64(sizes[i]&^7 - 56), Written: uint64(8 * (1 - i%2)), Sender: &Party{Slot: 1, Generation: 17, Start: 2}}
		if sizes[i] >= wideQueue {
			want.Ring = uint64(sizes[i] - 384)
		}
		if diff := cmp.Diff([]QueueReport{want}, area.Queues); diff != "" {
			t.Errorf("%d bytes (-want +got):\n%s", sizes[i], diff)
		}
	}
}

// TestInspectDamage: what stands before the damage is shown; a foreign file is
// an error.
func TestInspectDamage(t *testing.T) {
	segment, a := furnished(t)
	a.mem.word64(a.areas.words.offset + 8).Store(1 << 50)
	r, err := Inspect(segment.Fd())
	if err != nil || len(r.Areas) != 1 || r.Damage == "" {
		t.Errorf("%d areas, damage %q, %v", len(r.Areas), r.Damage, err)
	}
	a.mem[3] = 0
	if _, err := Inspect(segment.Fd()); !errors.Is(err, ErrDamaged) {
		t.Errorf("without a header: %v", err)
	}
	if _, err := Inspect(0); err == nil {
		t.Error("standard input is a segment")
	}
}

// TestInspectIsBounded: memory full of what looks like something costs neither
// time nor memory without a bound.
func TestInspectIsBounded(t *testing.T) {
	segment := create(t, "main", MinSize)
	a := attached(t, segment)
	data, _, err := a.areas.find("traps", 512<<10)
	if err != nil {
		t.Fatal(err)
	}
	for at := uint64(0); at < uint64(len(data)); at += 8 {
		memory(data).word64(at).Store([]uint64{lockMagic, queueMagic, tocMagic, barrierMagic, conditionMagic}[at/8%5])
	}
	r, err := Inspect(segment.Fd())
	if err != nil || !r.Cut {
		t.Errorf("cut is %v, %v", r.Cut, err)
	}
	for at := 0; at+48 <= len(data); at += 48 {
		if _, err := newTestParty(t, 1).createLock(data[at : at+48]); err != nil || at > 48*100 {
			break
		}
	}
	if _, err := Inspect(segment.Fd()); err != nil {
		t.Error(err)
	}
}

// TestInspectBears writes garbage into a furnished segment, and looks at it
// each time.
func TestInspectBears(t *testing.T) {
	segment, a := furnished(t)
	random := rand.New(rand.NewPCG(1, 2))
	data := a.areas.data
	interesting := []uint64{0, 1, 8, 1 << 20, 1<<32 - 1, 1<<64 - 1, lockMagic, queueMagic, tocMagic, barrierMagic, conditionMagic}
	for range 2000 {
		at := data.offset + uint64(random.IntN(8000))&^7
		if random.IntN(4) == 0 {
			at = headerRoom + uint64(random.IntN(200))*8
		}
		v := interesting[random.IntN(len(interesting))]
		if random.IntN(2) == 0 {
			v = random.Uint64() >> random.IntN(64)
		}
		a.mem.word64(at).Store(v)
		if _, err := Inspect(segment.Fd()); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzInspect: any memory can be looked at.
func FuzzInspect(f *testing.F) {
	segment, _ := furnished(f)
	at := newSegmentHeader("main", MinSize, 1).section[sectionData].offset
	seed := make([]byte, 8<<10)
	if _, err := readAt(segment.Fd(), seed, at); err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	file, err := newMemfd("fuzz", 0o600)
	if err != nil {
		f.Fatal(err)
	}
	defer runtime.KeepAlive(file)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := file.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		c, _, err := InspectMemory(int(file.Fd()), uint64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range c.Queues {
			if q.Offset+q.Ring > uint64(len(b)) {
				t.Errorf("a queue outside of the memory: %+v", q)
			}
		}
	})
}

func BenchmarkInspect(b *testing.B) {
	segment := create(b, "main", DefaultSize)
	a := attached(b, segment)
	data, _, err := a.areas.find("large", 60<<20)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Inspect(segment.Fd()); err != nil {
			b.Fatal(err)
		}
	}
}

// TestInspectForgedWaiters: memory full of locks that all have waiters takes no
// memory beyond a limit.
func TestInspectForgedWaiters(t *testing.T) {
	segment := create(t, "main", 16<<20)
	a := attached(t, segment)
	data, _, err := a.areas.find("forged", 12<<20)
	if err != nil {
		t.Fatal(err)
	}
	lock := make([]byte, LockSize(maxPlaces))
	for i := lockHeaderSize; i < len(lock); i++ {
		lock[i] = 1
	}
	binary.LittleEndian.PutUint64(lock, lockMagic)
	binary.LittleEndian.PutUint32(lock[8:], maxPlaces)
	for len(data) >= len(lock) {
		data = data[copy(data, lock):]
	}
	r, err := Inspect(segment.Fd())
	if err != nil || !r.Cut {
		t.Fatalf("cut %v, %v", r.Cut, err)
	}
	parties := 0
	for _, l := range r.Areas[0].Locks {
		parties += len(l.Waiting) + len(l.Shares)
	}
	if most := inspectObjects + 2*maxPlaces; parties > most || parties == 0 {
		t.Errorf("%d parties, at most %d are expected", parties, most)
	}
}
