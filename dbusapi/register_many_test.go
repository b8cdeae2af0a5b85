package dbusapi

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// TestRegisterMany: each of many definitions has its own answer, in their order, and a mistake in one takes nothing
// from the others (BGW-024: a refusal has a name).
func TestRegisterMany(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	c := b.client()
	incomplete := minimal("c")
	incomplete.Set &^= KeyRestartTime
	long := minimal(strings.Repeat("x", maxText+1))
	answers, err := c.RegisterDynamicBackgroundWorkers(testContext(t),
		[]Definition{minimal("a"), minimal("refused"), incomplete, long, minimal("b")}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", ErrorNoFreeSlot, ErrorInvalidArgs, ErrorInvalidArgs, ""} {
		a := answers[i]
		if (a.Err == nil) != (want == "") || want != "" && !IsError(a.Err, want) || (a.Handle == Handle{}) != (want != "") {
			t.Errorf("answer %d is %v, %v, want %q", i, a.Handle, a.Err, want)
		}
	}
	if text := answers[2].Err.Error(); !strings.Contains(text, "RestartTime must be given") {
		t.Errorf("the reason is %q", text)
	}
	if f.registered(0).Name != "a" || f.registered(1).Name != "b" {
		t.Errorf("registered are %q and %q", f.registered(0).Name, f.registered(1).Name)
	}
	if _, caller := f.last(); caller.Name != c.conn.Names()[0] {
		t.Errorf("the caller is %q", caller.Name)
	}
}

// TestRegisterManyWire: what a program without this library sends and gets. A definition that cannot be read is passed
// over, whatever it holds.
func TestRegisterManyWire(t *testing.T) {
	b := newBus(t, 0)
	b.serve(Options{})
	conn := b.raw()
	good := EncodeDefinition(minimal("a"))
	unknown, wrong := EncodeDefinition(minimal("b")), EncodeDefinition(minimal("c"))
	unknown["RestatTime"] = dbus.MakeVariant(map[string]dbus.Variant{"deep": dbus.MakeVariant([][]uint64{{1}, {}})})
	wrong["Extra"] = dbus.MakeVariant("text")
	call := func(all any, flags uint64) (answers []struct {
		Handle      dbus.ObjectPath
		Error, Text string
	}, err error) {
		err = conn.Object(BusName, ManagerPath).Call(ManagerInterface+".RegisterDynamicBackgroundWorkers", 0, all, flags).Store(&answers)
		return answers, fromBus(err)
	}
	type list = []map[string]dbus.Variant
	answers, err := call(list{unknown, good, wrong, {}, good}, 0)
	if err != nil || len(answers) != 5 {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	for i, want := range []string{`"RestartTime"?`, "", `Extra: expected D-Bus type "ay"`, "Flags, RestartTime must be given", ""} {
		a := answers[i]
		if want == "" {
			if _, err := ParseHandle(a.Handle); err != nil || a.Error != "" || a.Text != "" {
				t.Errorf("answer %d is %+v, %v", i, a, err)
			}
		} else if a.Handle != "/" || a.Error != ErrorInvalidArgs || !strings.Contains(a.Text, want) {
			t.Errorf("answer %d is %+v, want %s", i, a, want)
		}
	}
	if answers, err := call(list{}, 0); err != nil || len(answers) != 0 {
		t.Errorf("nothing to register: %v, %v", answers, err)
	}
	if _, err := call(slices.Repeat(list{{}}, MaxRegistrations+1), 0); !IsError(err, ErrorInvalidArgs) || !strings.Contains(err.Error(), "at most 1024") {
		t.Errorf("too many: %v", err)
	}
	if answers, err := call(slices.Repeat(list{{}}, MaxRegistrations), 0); err != nil || len(answers) != MaxRegistrations {
		t.Errorf("%d answers to as many as are possible, %v", len(answers), err)
	}
	if _, err := call(list{good}, 4); !IsError(err, ErrorInvalidArgs) {
		t.Errorf("unknown flags: %v", err)
	}
	if _, err := call([]string{"a"}, 0); !IsError(err, ErrorInvalidArgs) {
		t.Errorf("another type: %v", err)
	}
	reasons := EncodeDefinition(minimal("a"))
	reasons[strings.Repeat("é", 400)] = dbus.MakeVariant(1)
	if answers, err := call(slices.Repeat(list{reasons}, MaxRegistrations), 0); err != nil || len(answers[0].Text) > maxRegistrationText {
		t.Errorf("many refusals: %v", err)
	}
}

// TestRegisterManySignalCaller: the pidfd is the Backend's if one registration wants it, and closed if none has it.
func TestRegisterManySignalCaller(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	c := b.client()
	if _, err := c.RegisterDynamicBackgroundWorkers(testContext(t), []Definition{minimal("a")}, 0); err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	for _, name := range []string{"refused", "a"} {
		answers, err := c.RegisterDynamicBackgroundWorkers(testContext(t), []Definition{minimal(name), minimal("refused")}, RegisterSignalCaller)
		if err != nil || (answers[0].Err == nil) != (name == "a") || answers[1].Err == nil {
			t.Fatalf("%s: %v, %v", name, answers, err)
		}
		want := before
		if name == "a" {
			want++
		}
		if after := descriptors(t); after != want {
			t.Errorf("%s: %d descriptors, want %d", name, after, want)
		}
	}
	_, caller := f.last()
	if err := caller.PIDFD.Close(); err != nil {
		t.Error(err)
	}
	f.hook(func(_ context.Context, method string) error {
		if method == "RegisterAll" {
			return Errorf(ErrorAccessDenied, "no")
		}
		return nil
	})
	if _, err := c.RegisterDynamicBackgroundWorkers(testContext(t), []Definition{minimal("a")}, RegisterSignalCaller); !IsError(err, ErrorAccessDenied) {
		t.Errorf("got %v", err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors after a refusal, %d before", after, before)
	}
}

// TestManyOwnersLeave: a caller that leaves while many are registered is heard of when they are; one of whom none is
// registered owns nothing.
func TestManyOwnersLeave(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	none, some := b.client(), b.client()
	if answers, err := none.RegisterDynamicBackgroundWorkers(testContext(t), []Definition{minimal("refused")}, 0); err != nil || answers[0].Err == nil {
		t.Fatalf("%v, %v", answers, err)
	}
	_ = none.Close()
	entered, release := make(chan struct{}, 3), make(chan struct{})
	f.hook(func(ctx context.Context, method string) error {
		if method == "RegisterAll" {
			entered <- struct{}{}
			<-ctx.Done() // the caller has left
			<-release
		}
		return nil
	})
	go func() {
		_, _ = some.RegisterDynamicBackgroundWorkers(context.Background(), []Definition{minimal("refused"), minimal("a")}, 0)
	}()
	receive(t, entered, "call")
	name := some.conn.Names()[0]
	_ = some.Close()
	close(release)
	if got := receive(t, f.gone, "OwnerGone"); got != name {
		t.Errorf("OwnerGone(%s), want %s", got, name)
	}
}

// FuzzDefinitions: no message crashes the reader of many definitions or makes it read beyond the end of one.
func FuzzDefinitions(f *testing.F) {
	_, good, err := encodeBody([]any{[]Definition{minimal("a"), minimal("b")}, uint64(0)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-9])
	f.Add([]byte{4, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		args, err := (&reader{text: string(body)}).arguments("aa{sv}t")
		if err != nil {
			if !IsError(err, ErrorInvalidArgs) {
				t.Errorf("got %v", err)
			}
			return
		}
		for _, d := range args[0].([]definitionRead) {
			if d.err != nil && d.def.Set != 0 {
				t.Errorf("a definition of %v with the error %v", d.def.Set, d.err)
			}
		}
	})
}
