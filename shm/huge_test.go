package shm

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// freeHugePages is how many there are, and their size in bytes.
func freeHugePages(t *testing.T) (n, size int64) {
	t.Helper()
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		v, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "HugePages_Free:":
			n += v
		case "HugePages_Rsvd:":
			n -= v
		case "Hugepagesize:":
			size = v << 10
		}
	}
	return n, size
}

// TestHugePages: a segment of huge pages is like another one; and without
// enough of them there is an error, and nothing is left behind. The system test
// runs this where they are.
func TestHugePages(t *testing.T) {
	before := openFds(t)
	if s, err := CreateHuge("main", 1<<40); err == nil || !(errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL)) {
		t.Errorf("a tebibyte of huge pages: %v, %v", s, err)
	}
	if n := openFds(t); n != before {
		t.Errorf("%d descriptors, before %d", n, before)
	}
	free, page := freeHugePages(t)
	if want := (MinSize + sizeUnit + page) / page; page == 0 || free < want {
		t.Skipf("%d huge pages of %d bytes are free; sysctl vm.nr_hugepages=%d gives enough", free, page, want)
	}
	s, err := CreateHuge("main", MinSize+1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Size()%page != 0 || s.Size() <= MinSize {
		t.Errorf("it has %d bytes", s.Size())
	}
	a := attached(t, s)
	defer a.mem.unmap()
	data, _, err := a.areas.find("area", MinSize/2)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] = 1
	r, err := Inspect(s.Fd())
	if err != nil || r.Size != uint64(s.Size()) || len(r.Areas) != 1 {
		t.Errorf("inspected: %+v, %v", r, err)
	}
	if left, _ := freeHugePages(t); left >= free {
		t.Errorf("%d huge pages are free, before %d", left, free)
	}
}
