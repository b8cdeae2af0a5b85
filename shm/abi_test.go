package shm

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// needs skips a test for want of something; where everything has to be there
// (CI=true) it fails.
func needs(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("this test needs %s", what)
	}
	t.Skipf("this test needs %s", what)
}

// TestLayoutEqualsC compiles the C mirror of the layout and compares each
// offset, size and number.
func TestLayoutEqualsC(t *testing.T) {
	cc, err := exec.LookPath("gcc")
	if err != nil {
		needs(t, "gcc")
	}
	probe := filepath.Join(t.TempDir(), "probe")
	if out, err := exec.Command(cc, "-std=c11", "-Wall", "-Wextra", "-Werror", "-o", probe, "testdata/probe.c").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	out, err := exec.Command(probe).Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, numbers, _ := strings.Cut(strings.TrimSpace(line), " ")
		got[name] = numbers
	}
	if diff := cmp.Diff(goLayout(), got); diff != "" {
		t.Errorf("layout (-Go +C):\n%s", diff)
	}
}

func goLayout() map[string]string {
	want := map[string]string{}
	for name, n := range map[string]uint64{
		"ABI_MAJOR": ABIMajor, "ABI_MINOR": ABIMinor, "SEGMENT_MAGIC": segmentMagic, "SLOTS_MAGIC": slotsMagic,
		"HEADER_ROOM": headerRoom, "HEADER_SIZE": headerSize, "STATE_OFFSET": stateOffset, "AREA_ALIGN": areaAlign, "MAX_SLOTS": MaxSlots,
		"SECTION_WORDS": sectionWords, "SECTION_RECORDS": sectionRecords, "SECTION_DATA": sectionData,
		"SECTION_LATCHES": sectionLatches, "SECTION_COUNT": sectionCount,
		"SECTION_TRANCHE_WORDS": sectionTrancheWords, "SECTION_TRANCHE_NAMES": sectionTrancheNames,
		"CONDITION_MAGIC": conditionMagic, "BARRIER_MAGIC": barrierMagic, "BARRIER_PARTICIPANTS": barrierParticipants,
		"BARRIER_ARRIVED": barrierArrived, "BARRIER_MASK": barrierMask, "BARRIER_ELECTED": barrierElected, "BARRIER_STATIC": barrierStatic,
		"QUEUE_MAGIC": queueMagic, "TOC_MAGIC": tocMagic, "LOCK_MAGIC": lockMagic, "MAX_PLACES": maxPlaces, "MIN_QUEUE_SIZE": MinQueueSize, "WIDE_QUEUE": wideQueue,
		"MAX_MESSAGE": MaxMessage, "TOC_ALIGN": tocAlign, "QUEUE_DETACHED": queueDetached,
		"QUEUE_SENDER_WAITS": queueSenderWaits, "QUEUE_RECEIVER_WAITS": queueReceiverWaits,
		"LATCH_SET": latchSet, "LATCH_WAITING": latchWaiting, "LATCH_OWNED": latchOwned, "LATCH_TAPPED": latchTapped,
	} {
		want[name] = fmt.Sprintf("0 %d", n)
	}
	for _, v := range []any{
		section{}, segmentHeader{}, segmentState{}, areaRecord{}, latchCell{}, slotsHeader{}, slotsState{}, slotEntry{},
		queueHeader{}, wideQueueHeader{}, tocHeader{}, tocEntry{}, lockHeader{},
		trancheName{}, conditionHeader{}, conditionPlace{}, barrierHeader{},
	} {
		typ := reflect.TypeOf(v)
		want[snake(typ.Name())] = fmt.Sprintf("0 %d", typ.Size())
		for i := range typ.NumField() {
			if f := typ.Field(i); f.Name != "_" {
				want[snake(typ.Name())+"."+snake(f.Name)] = fmt.Sprintf("%d %d", f.Offset, f.Type.Size())
			}
		}
	}
	return want
}

// snake is totalSize as total_size.
func snake(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func TestLittleEndian(t *testing.T) {
	h := newSegmentHeader("main", MinSize, 1)
	if got := string(h.bytes()[:8]); got != "PGBGWSEG" {
		t.Errorf("a segment begins with %q: this machine is not little-endian", got)
	}
	if n := binary.LittleEndian.Uint64(h.bytes()[24:]); n != MinSize {
		t.Errorf("the size at 24 is %d", n)
	}
	s := newSlotsHeader()
	if got := string(s.bytes()[:8]); got != "PGBGWSLT" {
		t.Errorf("a slot table begins with %q", got)
	}
}
