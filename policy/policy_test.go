package policy

import (
	"errors"
	"strings"
	"testing"
)

const (
	self  = 117
	other = 1000
)

// changes are all actions but Look: none of them may be open to everybody.
var changes = []Action{Register, Instantiate, Control, Terminate, Signal, Reload, Dump, Inspect, Shutdown}

func TestDecideTable(t *testing.T) {
	for _, uid := range []uint32{0, self, other, 1<<32 - 1} {
		if err := Decide(Caller{UID: uid}, Look, self); err != nil {
			t.Errorf("uid %d may not look: %v", uid, err)
		}
		for _, a := range changes {
			err := Decide(Caller{UID: uid}, a, self)
			if allowed := uid == 0 || uid == self; allowed != (err == nil) {
				t.Errorf("Decide(uid %d, %v) = %v, want allowed = %v", uid, a, err, allowed)
			}
		}
	}
}

func TestDecideCoversEveryAction(t *testing.T) {
	if n := int(Shutdown-Look) + 1; n != len(changes)+1 {
		t.Fatalf("%d actions, %d of them tested", n, len(changes)+1)
	}
	for _, a := range append(changes, Look) {
		if strings.HasPrefix(a.String(), "action ") {
			t.Errorf("action %d has no words", uint8(a))
		}
	}
}

func TestDecideRefusesUnknownActionsToRoot(t *testing.T) {
	for _, a := range []Action{0, Shutdown + 1, 255} {
		if err := Decide(Caller{UID: 0}, a, self); err == nil {
			t.Errorf("Decide(root, %v) = nil", a)
		}
	}
}

func TestDeniedNamesActionAndWhoMay(t *testing.T) {
	for _, c := range []struct {
		self uint32
		want string
	}{
		{self, "uid 1000 may not reload the configuration: only root and the service's own user (uid 117) may"},
		{0, "uid 1000 may not reload the configuration: only root may"},
	} {
		err := Decide(Caller{UID: other}, Reload, c.self)
		var d *Denied
		if !errors.As(err, &d) || d.Action != Reload || d.Caller.UID != other {
			t.Fatalf("Decide = %#v, want *Denied of Reload by uid %d", err, other)
		}
		if err.Error() != c.want {
			t.Errorf("text %q, want %q", err, c.want)
		}
	}
}
