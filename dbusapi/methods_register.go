package dbusapi

import "os"

func (r *request) registerWorker() ([]any, error) {
	def := r.args[0].(Definition)
	if err := def.require(registrationKeys); err != nil {
		return nil, err
	}
	return r.registration(r.args[1].(uint64), func(c Caller, flags RegisterFlags) (Handle, error) {
		return r.server.backend.Register(r, c, def, flags)
	})
}

// registrationKeys have no default.
const registrationKeys = KeyFlags | KeyRestartTime

func (r *request) instantiate() ([]any, error) {
	template, argument, overrides := r.args[0].(string), r.args[1].(string), r.args[2].(Definition)
	for i, text := range []string{template, argument} {
		if len(text) > maxText {
			return nil, Errorf(ErrorInvalidArgs, "%s: %d bytes are too long, at most %d", []string{"template", "argument"}[i], len(text), maxText)
		}
	}
	return r.registration(r.args[3].(uint64), func(c Caller, flags RegisterFlags) (Handle, error) {
		return r.server.backend.Instantiate(r, c, template, argument, overrides, flags)
	})
}

// registerWorkers registers those of many definitions that can be read and have what has no default.
func (r *request) registerWorkers() ([]any, error) {
	read := r.args[0].([]definitionRead)
	if len(read) > MaxRegistrations {
		return nil, Errorf(ErrorInvalidArgs, "workers: %d definitions are too many, at most %d", len(read), MaxRegistrations)
	}
	answers := make([]Registration, len(read))
	defs, of := make([]Definition, 0, len(read)), make([]int, 0, len(read)) // and where their answers go
	for i := range read {
		err := read[i].err
		if err == nil {
			err = read[i].def.require(registrationKeys)
		}
		if answers[i].Err = err; err == nil {
			defs, of = append(defs, read[i].def), append(of, i)
		}
	}
	err := r.registering(r.args[1].(uint64), func(c Caller, flags RegisterFlags) (bool, error) {
		given, err := r.server.backend.RegisterAll(r, c, defs, flags)
		some := false
		for i, a := range given {
			answers[of[i]] = a
			some = some || a.Err == nil
		}
		return some, err
	})
	if err != nil {
		return nil, err
	}
	return []any{answers}, nil
}

// registration calls register with the caller as future owner and returns the handle.
func (r *request) registration(bits uint64, register func(Caller, RegisterFlags) (Handle, error)) ([]any, error) {
	var h Handle
	err := r.registering(bits, func(c Caller, flags RegisterFlags) (_ bool, err error) {
		h, err = register(c, flags)
		return err == nil, err
	})
	if err != nil {
		return nil, err
	}
	return []any{h.Path()}, nil
}

// registering calls register with the caller as future owner, which it is if register says so.
func (r *request) registering(bits uint64, register func(Caller, RegisterFlags) (bool, error)) error {
	if unknown := bits &^ uint64(RegisterSignalCaller); unknown != 0 {
		return Errorf(ErrorInvalidArgs, "flags: %#x has unknown bits; known is 0x1, a signal to the caller", bits)
	}
	caller, flags := r.caller, RegisterFlags(bits)
	if flags&RegisterSignalCaller != 0 {
		var err error
		if caller.PIDFD, err = r.session.openCaller(r, caller); err != nil {
			return err
		}
	}
	taken := false
	defer func() { closeUnless(taken, caller.PIDFD) }() // also after a panic
	return r.session.register(r.peer, func() (_ bool, err error) {
		taken, err = register(caller, flags)
		return taken, err
	})
}

func closeUnless(taken bool, file *os.File) {
	if !taken && file != nil {
		_ = file.Close()
	}
}
