package dbusapi

import (
	"context"

	"github.com/godbus/dbus/v5"
)

type session struct{ ctx context.Context }

func (s *Server) newSession(ctx context.Context) (*session, error) { panic("TODO") }
func (s *session) flush(ctx context.Context) error                 { return nil }
func (s *session) end()                                            {}
func (s *session) takeName(ctx context.Context) error              { return nil }
func (s *session) sendAdded(WorkerInfo)                            {}
func (s *session) sendRemoved(Handle)                              {}
func (s *session) sendChanged(a, b WorkerInfo)                     {}
func (s *session) sendManagerChanged(a, b ManagerInfo)             {}
func (s *session) sendReloading(bool)                              {}
func (s *session) sendStateChanged(string, StateChange)            {}
func (s *session) enqueue(func())                                  {}
func (s *session) watchOwner(string)                               {}
func (s *session) listeners() int                                  { return 0 }

type waitList struct{}

func (w *waitList) changed(WorkerInfo) {}
func (w *waitList) removed(Handle)     {}

type clientSignals struct{}

func newClientSignals() *clientSignals                                         { return nil }
func (c *clientSignals) DeliverSignal(iface, name string, signal *dbus.Signal) {}
