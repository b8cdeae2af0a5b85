package dbusapi

import (
	"os"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// The methods of Peer, Introspectable, Properties and ObjectManager.

func (r *request) ping() ([]any, error) { return nil, nil }

// machineID answers with the content of machine-id(5), as the specification asks.
func (r *request) machineID() ([]any, error) {
	id, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		return nil, Errorf(ErrorFailed, "cannot tell the machine's id: %v", err)
	}
	return []any{clean(strings.TrimSpace(string(id)), maxName)}, nil
}

func (r *request) introspect() ([]any, error) {
	var children []string
	switch r.node.kind {
	case nodeBetween, nodeManager:
		children = r.node.next()
	case nodeWorkers:
		workers, err := r.registered()
		if err != nil {
			return nil, err
		}
		for _, w := range workers {
			children = append(children, w.Handle.String())
		}
	case nodeServers:
		servers, err := r.servers()
		if err != nil {
			return nil, err
		}
		for _, s := range servers {
			children = append(children, strings.TrimPrefix(string(s.Path()), serverDir+"/"))
		}
	default:
		if err := r.nodeExists(); err != nil {
			return nil, err
		}
	}
	return []any{introspection(r.node.interfaces(), children)}, nil
}

// nodeWorker returns the worker of the node, UnknownObject if there is none.
func (r *request) nodeWorker() (WorkerInfo, error) {
	w, err := r.server.backend.Worker(r, r.caller, r.node.handle)
	if isStale(err) {
		err = unknownObject(r.node.path)
	}
	return w, err
}

// nodeExists is UnknownObject for the path of a worker or server that there is not.
func (r *request) nodeExists() (err error) {
	switch r.node.kind {
	case nodeWorker:
		_, err = r.nodeWorker()
	case nodeServer:
		_, err = r.nodeServer()
	}
	return err
}

func (r *request) get() ([]any, error) {
	name := r.args[1].(string)
	if _, err := r.findProperty(); err != nil {
		return nil, err
	}
	var value any
	switch r.node.kind {
	case nodeManager:
		m, err := r.server.backend.Manager(r, r.caller)
		if err != nil {
			return nil, err
		}
		value = readField(managerProperties, m, name)
	case nodeServer:
		s, err := r.nodeServer()
		if err != nil {
			return nil, err
		}
		value = readField(serverProperties, s, name)
	default:
		w, err := r.nodeWorker()
		if err != nil {
			return nil, err
		}
		value = readField(workerProperties, w, name)
	}
	return []any{dbus.MakeVariant(value)}, nil
}

// readField returns one property of v. The name is in the table.
func readField[T any](table []wireField[T], v T, name string) any {
	i := slices.IndexFunc(table, func(f wireField[T]) bool { return f.name == name })
	return toWire(table[i].ref(&v))
}

// findProperty returns the property that the first two arguments name. An empty interface stands for all of them.
func (r *request) findProperty() (propertyXML, error) {
	iface, name := r.args[0].(string), r.args[1].(string)
	names, err := r.propertyInterfaces(iface)
	if err != nil {
		return propertyXML{}, err
	}
	for _, i := range names {
		if p, ok := interfaces[i].properties[name]; ok {
			return p, nil
		}
	}
	return propertyXML{}, Errorf(ErrorUnknownProperty, "%s has no property %q", r.node.path, bounded(name, maxName))
}

func (r *request) propertyInterfaces(iface string) ([]string, error) {
	names := r.node.interfaces()
	if iface == "" {
		return names, nil
	}
	if !slices.Contains(names, iface) {
		return nil, Errorf(ErrorUnknownInterface, "%s has no interface %q", r.node.path, bounded(iface, maxName))
	}
	return []string{iface}, nil
}

func (r *request) getAll() ([]any, error) {
	names, err := r.propertyInterfaces(r.args[0].(string))
	if err != nil {
		return nil, err
	}
	if err := r.nodeExists(); err != nil {
		return nil, err
	}
	all := map[string]dbus.Variant{}
	switch {
	case slices.Contains(names, ManagerInterface):
		var m ManagerInfo
		m, err = r.server.backend.Manager(r, r.caller)
		all = allProperties(managerProperties, m)
	case slices.Contains(names, WorkerInterface):
		var w WorkerInfo
		w, err = r.nodeWorker()
		all = allProperties(workerProperties, w)
	case slices.Contains(names, ServerInterface):
		var s ServerInfo
		s, err = r.nodeServer()
		all = allProperties(serverProperties, s)
	}
	return []any{all}, err
}

func (r *request) set() ([]any, error) {
	if err := r.nodeExists(); err != nil {
		return nil, err
	}
	if _, err := r.findProperty(); err != nil {
		return nil, err
	}
	return nil, Errorf(ErrorPropertyReadOnly, "property %s of %s is read-only", bounded(r.args[1].(string), maxName), r.node.path)
}

func (r *request) managedObjects() ([]any, error) {
	workers, err := r.registered()
	if err != nil {
		return nil, err
	}
	servers, err := r.servers()
	if err != nil {
		return nil, err
	}
	objects := make(map[dbus.ObjectPath]map[string]map[string]dbus.Variant, len(servers)+len(workers))
	for _, s := range servers {
		objects[s.Path()] = map[string]map[string]dbus.Variant{ServerInterface: allProperties(serverProperties, s)}
	}
	for _, w := range workers {
		objects[w.Handle.Path()] = map[string]map[string]dbus.Variant{WorkerInterface: allProperties(workerProperties, w)}
	}
	return []any{objects}, nil
}
