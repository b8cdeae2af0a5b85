package dbusapi

import (
	"testing"

	"github.com/godbus/dbus/v5"
)

// BenchmarkRegister is the round trip of a registration over dbus-daemon with a Backend that does nothing, one at a time.
func BenchmarkRegister(b *testing.B) { benchRegister(b, 1) }

// BenchmarkRegister64 is the same with 64 outstanding.
func BenchmarkRegister64(b *testing.B) { benchRegister(b, maxCalls) }

// BenchmarkPing is the floor: a call without arguments that asks nobody.
func BenchmarkPing(b *testing.B) {
	bus := newBus(b, 0)
	bus.serve(Options{})
	object := bus.client().conn.Object(BusName, ManagerPath)
	for b.Loop() {
		if err := object.Call(peerInterface+".Ping", 0).Err; err != nil {
			b.Fatal(err)
		}
	}
}

func benchRegister(b *testing.B, outstanding int) {
	bus := newBus(b, 0)
	_, f := bus.serve(Options{})
	object := bus.client().conn.Object(BusName, ManagerPath)
	def := EncodeDefinition(minimal("bench"))
	done := make(chan *dbus.Call, outstanding)
	send := func() { object.Go(ManagerInterface+".RegisterDynamicBackgroundWorker", 0, done, def, uint64(0)) }
	for range outstanding {
		send()
	}
	for b.Loop() {
		if c := <-done; c.Err != nil {
			b.Fatal(c.Err)
		}
		send()
	}
	for range outstanding {
		<-done
	}
	b.StopTimer()
	f.mu.Lock()
	f.workers, f.defs, f.calls, f.callers = map[Handle]WorkerInfo{}, nil, nil, nil
	f.mu.Unlock()
}

// BenchmarkChanged is the publishing of a transition while nobody has subscribed: what each worker's start and exit costs.
func BenchmarkChanged(b *testing.B) {
	s := NewServer(newFake(), Options{})
	w := full(Handle{1, 1})
	for b.Loop() {
		s.Changed(w, w)
	}
}
