package policy

import "fmt"

// Action is what a caller wants to do. The zero value is no action, and Decide refuses it to everybody.
type Action uint8

// The actions, from looking to ending the service.
const (
	// Look reads workers, properties and the configuration's state, waits for a worker and subscribes to signals.
	Look Action = iota + 1
	// Register adds a worker that the caller defines itself.
	Register
	// Instantiate adds a worker from a template that the administrator wrote.
	Instantiate
	// Control starts, stops and restarts a worker.
	Control
	// Terminate ends a worker and its registration.
	Terminate
	// Signal sends a worker's process a signal.
	Signal
	// Reload reads the configuration again.
	Reload
	// Dump writes out the internal state, other users' definitions included.
	Dump
	// Inspect looks at what lies in shared memory, which costs the service time.
	Inspect
	// Shutdown ends the service.
	Shutdown
)

// String returns the action as an infinitive that fits after "may not": "register a worker". An unknown action is
// "action 42".
func (a Action) String() string {
	switch a {
	case Look:
		return "look"
	case Register:
		return "register a worker"
	case Instantiate:
		return "instantiate a template"
	case Control:
		return "start or stop a worker"
	case Terminate:
		return "terminate a worker"
	case Signal:
		return "send a worker a signal"
	case Reload:
		return "reload the configuration"
	case Dump:
		return "dump the state"
	case Inspect:
		return "look into shared memory"
	case Shutdown:
		return "shut the service down"
	}
	return fmt.Sprintf("action %d", uint8(a))
}

// Caller is who asks. UID must come from the kernel or the bus (SO_PEERCRED, GetConnectionCredentials), never from the
// request; a caller whose uid could not be found out must not reach Decide, since no uid stands for unknown.
type Caller struct {
	// UID is the caller's effective user id in the daemon's user namespace.
	UID uint32
}

// Denied is the one error of Decide. The daemon answers it as AccessDenied; its text is meant for the caller.
type Denied struct {
	// Caller is who asked.
	Caller Caller
	// Action is what was refused.
	Action Action
	// Self is the daemon's own uid, which may do what was refused.
	Self uint32
}

// Error says what was refused to whom, and who may.
func (d *Denied) Error() string {
	if d.Action < Look || d.Action > Shutdown {
		return fmt.Sprintf("uid %d may not do %s: there is no such action", d.Caller.UID, d.Action)
	}
	who := "only root may"
	if d.Self != 0 {
		who = fmt.Sprintf("only root and the service's own user (uid %d) may", d.Self)
	}
	return fmt.Sprintf("uid %d may not %s: %s", d.Caller.UID, d.Action, who)
}

// Decide returns nil when the caller may do the action in a daemon that runs as uid self, else a *Denied. Everybody may
// Look; root and self may do everything.
func Decide(c Caller, a Action, self uint32) error {
	switch {
	case a == Look:
		return nil
	case a > Look && a <= Shutdown && (c.UID == 0 || c.UID == self):
		return nil
	}
	return &Denied{Caller: c, Action: a, Self: self}
}
