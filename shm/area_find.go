package shm

import "fmt"

// FindArea returns the area of that name, whatever its size, and whether there
// is one; it never makes one. Otherwise it is like Area.
func (w *Worker) FindArea(name string) (data []byte, found bool, err error) {
	a := w.inside()
	if a == nil {
		return nil, false, fmt.Errorf("cannot use area %q: %w", name, ErrNotAttached)
	}
	return a.areas.lookup(name)
}

// lookup is find for an area of any size.
func (x *areaIndex) lookup(name string) (data []byte, found bool, err error) {
	if n := len(name); n == 0 || n > MaxAreaName || !printable(name) {
		return nil, false, fmt.Errorf("area name %q has to have 1 to %d bytes, none of them NUL", name, MaxAreaName)
	}
	var r areaRecord
	end := x.data.offset
	for i := range x.words.count {
		published := x.word(i).Load()
		if published == 0 {
			break
		}
		if err := x.read(published, end, &r); err != nil {
			return nil, false, fmt.Errorf("cannot look up area %q: %w", name, err)
		}
		if sameName(&r.name, name) {
			return x.slice(end, int(r.size)), true, nil
		}
		end = min(end+roundUp(r.size), x.data.offset+x.data.length)
	}
	return nil, false, nil
}
