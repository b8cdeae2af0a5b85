package dbusapi

import (
	"github.com/godbus/dbus/v5"
)

// These send signals, on the goroutine of session.out.

func (s *session) sendAdded(w WorkerInfo) {
	path := w.Handle.Path()
	s.signal("", ManagerPath, objectManagerInterface, "InterfacesAdded", path,
		map[string]map[string]dbus.Variant{WorkerInterface: publicProperties(w)})
	s.signal("", ManagerPath, ManagerInterface, "WorkerNew", path, clean(w.Label, maxText))
}

func (s *session) sendRemoved(h Handle) {
	s.signal("", ManagerPath, ManagerInterface, "WorkerRemoved", h.Path())
	s.signal("", ManagerPath, objectManagerInterface, "InterfacesRemoved", h.Path(), []string{WorkerInterface})
}

func (s *session) sendChanged(before, after WorkerInfo) {
	if change := ChangeOf(after); change != ChangeOf(before) {
		s.sendStateChanged("", change)
	}
	changed, invalidated := differences(interfaces[WorkerInterface], workerProperties, before, after)
	s.propertiesChanged(after.Handle.Path(), WorkerInterface, changed, invalidated)
}

func (s *session) sendManagerChanged(before, after ManagerInfo) {
	changed, invalidated := differences(interfaces[ManagerInterface], managerProperties, before, after)
	s.propertiesChanged(ManagerPath, ManagerInterface, changed, invalidated)
}

func (s *session) sendServerAdded(info ServerInfo) {
	s.signal("", ManagerPath, objectManagerInterface, "InterfacesAdded", info.Path(),
		map[string]map[string]dbus.Variant{ServerInterface: allProperties(serverProperties, info)})
}

func (s *session) sendServerRemoved(info ServerInfo) {
	s.signal("", ManagerPath, objectManagerInterface, "InterfacesRemoved", info.Path(), []string{ServerInterface})
}

func (s *session) sendServerChanged(before, after ServerInfo) {
	if before.Phase != after.Phase {
		s.signal("", ManagerPath, ManagerInterface, "ServerPhaseChanged", after.Path(), clean(after.Name, maxText),
			clean(after.Phase, maxText), clean(after.Evidence, maxText))
	}
	changed, invalidated := differences(interfaces[ServerInterface], serverProperties, before, after)
	s.propertiesChanged(after.Path(), ServerInterface, changed, invalidated)
}

func (s *session) sendReloading(active bool) {
	s.signal("", ManagerPath, ManagerInterface, "Reloading", active)
}

// sendStateChanged sends WorkerStateChanged to one unique name, or with "" to everybody.
func (s *session) sendStateChanged(name string, c StateChange) {
	s.signal(name, ManagerPath, ManagerInterface, "WorkerStateChanged", c.Handle.Path(), clean(c.State, maxText),
		clean(string(c.Status), maxText), c.PID, c.ExitCode, c.ExitSignal, clean(c.Reason, maxText), c.StartNumber)
}

func (s *session) propertiesChanged(path dbus.ObjectPath, iface string, changed map[string]dbus.Variant, invalidated []string) {
	if len(changed)+len(invalidated) > 0 {
		s.signal("", path, propertiesInterface, "PropertiesChanged", iface, changed, invalidated)
	}
}

// signal sends one signal to the unique name to, or with "" to whoever has a match rule. An error means that the
// connection is gone, and that is told elsewhere.
func (s *session) signal(to string, path dbus.ObjectPath, iface, member string, args ...any) {
	_ = s.conn.framed.send(&message{kind: dbus.TypeSignal, to: to, path: path, iface: iface, member: member, body: args})
}
