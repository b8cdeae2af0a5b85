package dbusapi

// Added publishes WorkerNew and InterfacesAdded. The Backend must already return w.
func (s *Server) Added(w WorkerInfo) {
	if sess := s.audience(); sess != nil {
		sess.enqueue(func() { sess.sendAdded(w) })
	}
}

// Removed publishes WorkerRemoved and InterfacesRemoved, and ends the waits on h. The Backend must no longer list it.
func (s *Server) Removed(h Handle) {
	s.waits.removed(h)
	if sess := s.audience(); sess != nil {
		sess.enqueue(func() { sess.sendRemoved(h) })
	}
}

// Changed publishes one transition of one worker: WorkerStateChanged if the state did change, one PropertiesChanged with
// everything that did; and it wakes waits. It must be called for every transition, in order, after the Backend returns
// the new state; nothing of before and after is written to later.
func (s *Server) Changed(before, after WorkerInfo) {
	s.waits.changed(after)
	if sess := s.audience(); sess != nil {
		before, after := before, after // copies for the queue, made only here
		sess.enqueue(func() { sess.sendChanged(before, after) })
	}
}

// ManagerChanged publishes a change of the daemon's own properties.
func (s *Server) ManagerChanged(before, after ManagerInfo) {
	if sess := s.audience(); sess != nil {
		sess.enqueue(func() { sess.sendManagerChanged(before, after) })
	}
}

// ServerAdded publishes InterfacesAdded. The Backend must already return s.
func (s *Server) ServerAdded(info ServerInfo) {
	if sess := s.audience(); sess != nil {
		sess.enqueue(func() { sess.sendServerAdded(info) })
	}
}

// ServerRemoved publishes InterfacesRemoved. The Backend must no longer return info.
func (s *Server) ServerRemoved(info ServerInfo) {
	if sess := s.audience(); sess != nil {
		sess.enqueue(func() { sess.sendServerRemoved(info) })
	}
}

// ServerChanged publishes one change of one server: ServerPhaseChanged if its phase did change, and one
// PropertiesChanged with everything that did. Call it in order, after the Backend returns the new state.
func (s *Server) ServerChanged(before, after ServerInfo) {
	if sess := s.audience(); sess != nil {
		sess.enqueue(func() { sess.sendServerChanged(before, after) })
	}
}

// Reloading publishes that a reload begins or has ended.
func (s *Server) Reloading(active bool) {
	if sess := s.audience(); sess != nil {
		sess.enqueue(func() { sess.sendReloading(active) })
	}
}

// NotifyOwner sends WorkerStateChanged to one unique name alone. Call it after the state has changed and, for a final
// exit, after the slot is free (BGW-044, BGW-045). A name that has gone is no error.
func (s *Server) NotifyOwner(name string, change StateChange) {
	if sess := s.session.Load(); sess != nil && isUniqueName(name) {
		sess.enqueue(func() { sess.sendStateChanged(name, change) })
	}
}

// WatchOwner asks for OwnerGone(name) when that unique name leaves the bus, at once if it already has. Callers who
// registered a worker are watched without it: it is for owners from before a re-execution. Call it after Start.
func (s *Server) WatchOwner(name string) {
	sess := s.session.Load()
	if sess == nil {
		return // BusLost was or will be called: the name is void
	}
	sess.watchOwner(name)
}

// audience returns the session if somebody has subscribed, else nil: then a transition costs next to nothing.
func (s *Server) audience() *session {
	if sess := s.session.Load(); sess != nil && sess.listeners() > 0 {
		return sess
	}
	return nil
}
