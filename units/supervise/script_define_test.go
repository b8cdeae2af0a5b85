package supervise

import (
	"fmt"
	"strings"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// define takes the options never, parallel, stop-with-owner, module, db (the flag),
// interruptible, keep (on_server_stop), outlive (on_server_crash = keep), and
// KEY VALUE: database NAME (the flag too), restart SECONDS, at START_TIME,
// attach MODE, segment NAME, server NAME, kill SIGNAL, timeout TIME, backoff
// FACTOR, limit TIME, healthy TIME, arg N, demotion stop|keep, memory MAX (a limit).
func (s *script) define(args []string) error {
	w := units.Worker{Label: args[0], Flags: units.ShmemAccess, Command: []string{"/bin/" + args[0]}, Attach: units.AttachAlways}
	var err error
	dur := func(v string) (d time.Duration) { d, err = units.ParseDuration(v); return d }
	for a := args[1:]; len(a) > 0 && err == nil; {
		if bareOption(&w, a[0]) {
			a = a[1:]
			continue
		}
		v, ok := a[1], true
		switch a[0] {
		case "restart":
			w.RestartTime, err = units.ParseRestartTime(v)
		case "at":
			w.StartTime, ok = units.ParseStartTime(v)
		case "attach":
			w.Attach, ok = units.ParseAttach(v)
		case "segment":
			w.Segment = v
		case "server":
			w.Server = v
		case "kill":
			w.KillSignal, err = units.ParseSignal(v)
		case "timeout":
			w.KillTimeout = dur(v)
		case "backoff":
			w.Backoff = &units.Backoff{}
			_, err = fmt.Sscan(v, &w.Backoff.Factor)
		case "database":
			w.Connection, w.Flags = &units.Connection{Database: v}, w.Flags|units.BackendDatabaseConnection
		case "limit":
			w.Backoff.Max = dur(v)
		case "healthy":
			w.Backoff.Healthy = dur(v)
		case "memory":
			w.Resources.Cgroup = map[string]string{"memory.max": v}
		case "demotion":
			w.StopOnDemotion = map[string]units.Demotion{"stop": units.DemotionStop, "keep": units.DemotionKeep}[v]
		case "arg":
			_, err = fmt.Sscan(v, &w.MainArg)
		default:
			ok = false
		}
		if !ok {
			return fmt.Errorf("option %q %q", a[0], v)
		}
		a = a[2:]
	}
	d := w.WithDefaults()
	s.defs[args[0]] = &d
	return err
}

// bareOption sets what o says of w, if o is an option without a value.
func bareOption(w *units.Worker, o string) bool {
	switch o {
	case "never":
		w.RestartTime = units.NeverRestart
	case "parallel":
		w.Flags, w.RestartTime = w.Flags|units.ClassParallel, units.NeverRestart
	case "stop-with-owner":
		w.StopWithOwner = true
	case "module":
		w.Command, w.LibraryName, w.FunctionName, w.Attach = nil, "lib", "f", units.AttachAuto
	case "db":
		w.Flags |= units.BackendDatabaseConnection
	case "interruptible":
		w.Flags |= units.BackendDatabaseConnection | units.Interruptible
	case "keep":
		w.OnServerStop = units.ServerStopKeep
	case "outlive":
		w.OnServerCrash = units.ServerCrashKeep
	default:
		return false
	}
	return true
}

func ownerOf(s string) Owner {
	switch {
	case s == "":
		return Owner{}
	case strings.HasPrefix(s, ":"):
		return Owner{Kind: BusOwner, Bus: s}
	}
	return Owner{Kind: WorkerOwner, Run: runOf(s)}
}

// handleOf reads "slot.generation"; nonsense is a handle that nothing has.
func handleOf(s string) units.Handle {
	h, _ := units.ParseHandle(s)
	return h
}

func runOf(s string) (r units.Run) {
	_, _ = fmt.Sscanf(s, "%d.%d.%d", &r.Slot, &r.Generation, &r.Start)
	return r
}
