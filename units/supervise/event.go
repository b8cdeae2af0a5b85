package supervise

import (
	"github.com/pg-bgw/pg-bgw/units"
)

// An event is what step takes. Those with a reply channel are requests: the
// channel has room for the one answer and is never closed.
type event interface{}

type (
	// tick says that the time has come that table.next named.
	tick struct{}

	// started answers a startEffect.
	started struct {
		run  units.Run
		proc Process
		err  error
	}

	// exited says that a process and its tree are gone.
	exited struct {
		run  units.Run
		exit units.Exit
	}

	// limited answers a limitEffect.
	limited struct {
		run units.Run
		err error
	}

	// phase says how far a server has come; server "" is the standalone one.
	phase struct {
		server string
		phase  units.Phase
	}

	// clients says how many sessions a server has beside ours; -1: not known.
	clients struct {
		server string
		n      int
	}

	// attach and detach come over a worker's control socket.
	attach struct {
		run   units.Run
		reply chan error
	}
	detach struct {
		run   units.Run
		reply chan error
	}

	// ready is what a worker says over its control socket, once or often.
	ready struct {
		run   units.Run
		text  string
		reply chan error
	}

	register struct {
		worker *units.Worker
		owner  Owner
		reply  chan registered
	}

	// registerAll is many of these at once, answered in their order.
	registerAll struct {
		all   []Registrant
		reply chan []registered
	}

	// request is one of an administrator's or owner's verbs on a handle.
	request struct {
		verb   verb
		handle units.Handle
		signal units.Signal // of verbSignal
		start  uint64       // of verbSignal: of this process only; 0: of any
		reply  chan error
	}

	// forDatabase terminates the interruptible workers that of is true of.
	forDatabase struct {
		of    func(*units.Worker) bool
		reply chan DatabaseResult
	}

	// reload brings the static definitions, all of them, and the limits.
	reload struct {
		workers  []*units.Worker
		settings Settings
		reply    chan reloaded
	}

	// ownerGone says that an owner is gone for good.
	ownerGone struct {
		owner Owner
		lost  bool // the bus is gone, not the owner: nobody is stopped for it
	}

	// wait asks for an answer when want holds; forget takes the question back.
	wait struct {
		handle units.Handle
		want   waitFor
		reply  chan Info
	}
	forget struct {
		handle units.Handle
		reply  chan Info
	}

	shutdown struct{ mode Mode }

	// query is answered by the loop between two events.
	query struct {
		f     func(*table)
		reply chan struct{}
	}
)

type verb uint8

const (
	verbTerminate verb = iota
	verbStop
	verbStart
	verbRestart
	verbSignal
)

func (v verb) String() string {
	return [...]string{"terminate", "stop", "start", "restart", "signal"}[v]
}

type waitFor uint8

const (
	waitStartup  waitFor = iota // any status but not_yet_started
	waitShutdown                // stopped
)

type registered struct {
	handle units.Handle
	err    error
}

type reloaded struct {
	result ReloadResult
	err    error
}

// An effect is what step asks for. Effects of one kind happen in order.
type effect interface{}

type (
	startEffect  struct{ start Start }
	signalEffect struct {
		proc   Process
		run    units.Run
		signal units.Signal
		group  bool
	}
	killEffect struct {
		proc Process
		run  units.Run
	}
	limitEffect struct {
		proc   Process
		run    units.Run
		limits units.Resources
	}
	publishEffect struct{ change *Change } // the Sink's alone from then on
)

// A replier is the effect that answers a request.
type replier interface{ send() }

// reply answers with value on the channel that the request brought, which has
// room for it.
type reply[T any] struct {
	what  string
	to    chan T
	value T
}

func (r reply[T]) send() { r.to <- r.value }
