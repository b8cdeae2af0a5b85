package dbusapi

import "context"

// Backend is what a [Server] serves. The daemon implements it.
//
// Methods are called from many goroutines at once and may block: only the call that waits is delayed. A context ends
// when the caller has left the bus, when the bus is lost and when the Server closes; Register, Instantiate and Start must
// return soon after, because BusLost comes when they have. Policy is the Backend's: who may do
// what is decided from the Caller and refused with an [*Error] (ErrorAccessDenied, ErrorNotAllowed, ...). An error of
// another type reaches the caller as ErrorFailed. A panic fails that call alone.
//
// What the caller sent is well formed when it arrives here (types, keys, handle syntax, flags), not valid: the rules for
// a definition are the Backend's.
type Backend interface {
	// Register registers a dynamic worker; its owner is the caller if def's NotifyPid is unset or the caller's pid.
	// Flags and RestartTime are present in def. Success means queued (BGW-027).
	Register(ctx context.Context, c Caller, def Definition, flags RegisterFlags) (Handle, error)
	// RegisterAll is Register for each of defs, in their order, and returns as many answers. An error is of the whole call,
	// and then nothing is registered.
	RegisterAll(ctx context.Context, c Caller, defs []Definition, flags RegisterFlags) ([]Registration, error)
	// Instantiate registers a worker from a template. overrides holds only the keys that the caller set.
	Instantiate(ctx context.Context, c Caller, template, argument string, overrides Definition, flags RegisterFlags) (Handle, error)

	// Worker returns one worker, ended ones included while they are readable. Otherwise ErrorNoSuchWorker or
	// ErrorStaleHandle.
	Worker(ctx context.Context, c Caller, h Handle) (WorkerInfo, error)
	// Workers returns every worker, in any order, also those in the state "ended" while they are readable: ListWorkers
	// has them, the tree of objects has not. The slice belongs to the Server.
	Workers(ctx context.Context, c Caller) ([]WorkerInfo, error)
	// Labelled returns the workers of that label, in any order: those registered now or, where there is none, the one
	// that ended last and is still readable. Several dynamic workers may share a label (BGW-016).
	Labelled(ctx context.Context, c Caller, label string) ([]WorkerInfo, error)
	// Manager returns the daemon's own state.
	Manager(ctx context.Context, c Caller) (ManagerInfo, error)

	// SharedMemory returns what lies in a segment, or with "" in all, in the order that the caller is to see;
	// ErrorInvalidArgs where there is none of that name. The slice belongs to the Server.
	SharedMemory(ctx context.Context, c Caller, segment string) ([]SharedObject, error)

	// Servers returns every server of the configuration, in any order. The slice belongs to the Server.
	Servers(ctx context.Context, c Caller) ([]ServerInfo, error)

	// TerminateForDatabase terminates the interruptible workers of a database of a server, "" for the only one, and
	// returns them, and those of that database that are not interruptible and remain.
	TerminateForDatabase(ctx context.Context, c Caller, server, database string) (terminated, remaining []Handle, err error)

	// Terminate unregisters a worker, with SIGTERM if it runs. On a stale or ended handle it does nothing; returning
	// ErrorStaleHandle or ErrorNoSuchWorker is the same to the caller as nil (BGW-033, BGW-034).
	Terminate(ctx context.Context, c Caller, h Handle) error
	// Stop holds a worker.
	Stop(ctx context.Context, c Caller, h Handle) error
	// Start releases a held worker, skips a pending restart wait, or registers an ended definition again. The handle
	// that it returns is h, or a new one in the last case.
	Start(ctx context.Context, c Caller, h Handle) (Handle, error)
	// Restart ends the process of a worker and starts it again under the same handle.
	Restart(ctx context.Context, c Caller, h Handle) error
	// Signal sends a signal to a worker's main process; sig is 1 to 64.
	Signal(ctx context.Context, c Caller, h Handle, sig int32) error

	// Reload reads the configuration again: all or nothing, ErrorConfigurationInvalid with the diagnostics.
	Reload(ctx context.Context, c Caller) error
	// Dump returns the whole state as text for a person.
	Dump(ctx context.Context, c Caller) (string, error)
	// Shutdown begins the daemon's end; it returns before that is done.
	Shutdown(ctx context.Context, c Caller, mode ShutdownMode) error

	// OwnerGone says that a caller who registered workers, or a name given to Server.WatchOwner, has left the bus.
	// Calls are sequential.
	OwnerGone(name string)
	// BusLost says that the connection to the bus broke: every unique name is void, and OwnerGone will not come for
	// them. The Server connects again by itself.
	BusLost()
}
