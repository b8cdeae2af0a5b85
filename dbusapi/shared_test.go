package dbusapi

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSharedMemory: every field of an object comes over, and what is 0 does not
// travel.
func TestSharedMemory(t *testing.T) {
	o := SharedObject{Kind: SharedLock, Segment: "main"}
	if d := o.dictionary(); len(d) != 2 {
		t.Errorf("an empty object travels as %v", d)
	}
	v := reflect.ValueOf(&o).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("text")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Uint32, reflect.Uint64:
			f.SetUint(uint64(i + 1))
		case reflect.Slice:
			f.Set(reflect.ValueOf([]string{"a", "b"}))
		}
	}
	back, err := readProperties(sharedFields, o.dictionary())
	if diff := cmp.Diff(o, back); err != nil || diff != "" {
		t.Errorf("%v (-sent +come):\n%s", err, diff)
	}
}
