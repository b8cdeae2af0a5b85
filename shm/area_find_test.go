package shm

import "testing"

// TestFindArea: an area is found whatever its size, the same memory as by Area,
// and one that nobody made is not made.
func TestFindArea(t *testing.T) {
	segment := create(t, "main", MinSize)
	a, b := attached(t, segment), attached(t, segment)
	for _, name := range []string{"one", "two"} {
		if _, _, err := a.areas.find(name, len(name)*100); err != nil {
			t.Fatal(err)
		}
	}
	made, _, err := a.areas.find("three", 8)
	if err != nil {
		t.Fatal(err)
	}
	made[0] = 7
	if data, found, err := b.areas.lookup("three"); err != nil || !found || len(data) != 8 || data[0] != 7 {
		t.Errorf("found %v, %v, %v", data, found, err)
	}
	if _, found, err := b.areas.lookup("four"); found || err != nil {
		t.Errorf("found an area that nobody made (%v)", err)
	}
	if _, _, err := b.areas.lookup(""); err == nil {
		t.Error("an empty name is no error")
	}
	if _, found, err := a.areas.find("four", 8); found || err != nil {
		t.Errorf("the look has made an area (%v)", err)
	}
	a.mem.word64(a.areas.words.offset).Store(1 << 40)
	if _, _, err := b.areas.lookup("three"); err == nil {
		t.Error("damage is no error")
	}
}
