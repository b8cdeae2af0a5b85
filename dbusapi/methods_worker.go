package dbusapi

// The methods of WorkerInterface. Whether there is a worker with the node's handle is the Backend's to say.

func (r *request) stop() ([]any, error) {
	if err := r.noFlags(); err != nil {
		return nil, err
	}
	return nil, r.server.backend.Stop(r, r.caller, r.node.handle)
}

func (r *request) start() ([]any, error) {
	if err := r.noFlags(); err != nil {
		return nil, err
	}
	var h Handle
	err := r.session.register(r.peer, func() (_ bool, err error) {
		h, err = r.server.backend.Start(r, r.caller, r.node.handle)
		return err == nil, err
	})
	return []any{h.Path()}, err
}

func (r *request) restart() ([]any, error) {
	if err := r.noFlags(); err != nil {
		return nil, err
	}
	return nil, r.server.backend.Restart(r, r.caller, r.node.handle)
}

func (r *request) terminate() ([]any, error) { return r.terminateHandle(r.node.handle) }

// maxSignal is SIGRTMAX of Linux.
const maxSignal = 64

func (r *request) signal() ([]any, error) {
	if err := r.noFlags(); err != nil {
		return nil, err
	}
	sig := r.args[0].(int32)
	if sig < 1 || sig > maxSignal {
		return nil, Errorf(ErrorInvalidArgs, "signal: %d is outside 1 to %d", sig, maxSignal)
	}
	return nil, r.server.backend.Signal(r, r.caller, r.node.handle, sig)
}
