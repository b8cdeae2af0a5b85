package dbusapi

import (
	"strings"

	"github.com/godbus/dbus/v5"
)

// node is an object by its path alone: the tree is a matter of syntax, there is no table of objects.
type node struct {
	kind   nodeKind
	handle Handle // of a worker node
	path   dbus.ObjectPath
}

type nodeKind int

const (
	nodeBetween nodeKind = iota // "/", "/org": on the way to the manager
	nodeManager
	nodeWorkers // the parent of all workers
	nodeWorker  // has the path of a worker, whether there is one or not
	nodeServers // the parent of all servers
	nodeServer  // has a path below it, whether there is a server or not
)

func findNode(path dbus.ObjectPath) (node, bool) {
	switch {
	case path == ManagerPath:
		return node{kind: nodeManager, path: path}, true
	case path == workerDir:
		return node{kind: nodeWorkers, path: path}, true
	case path == serverDir:
		return node{kind: nodeServers, path: path}, true
	case isServerPath(path):
		return node{kind: nodeServer, path: path}, true
	case path == "/" || strings.HasPrefix(string(ManagerPath), string(path)+"/"):
		return node{kind: nodeBetween, path: path}, true
	}
	h, ok := parseHandle(path)
	return node{kind: nodeWorker, handle: h, path: path}, ok
}

// The interfaces of each kind of node: the standard ones are on all.
var (
	standardInterfaces = []string{peerInterface, introspectInterface, propertiesInterface}
	managerInterfaces  = append([]string{ManagerInterface, objectManagerInterface}, standardInterfaces...)
	workerInterfaces   = append([]string{WorkerInterface}, standardInterfaces...)
	serverInterfaces   = append([]string{ServerInterface}, standardInterfaces...)
)

// interfaces returns the names of the node's interfaces, read-only.
func (n node) interfaces() []string {
	switch n.kind {
	case nodeManager:
		return managerInterfaces
	case nodeWorker:
		return workerInterfaces
	case nodeServer:
		return serverInterfaces
	default:
		return standardInterfaces
	}
}

// next returns the children of a nodeBetween or of the manager.
func (n node) next() []string {
	if n.kind == nodeManager {
		return []string{"server", "worker"}
	}
	rest := strings.TrimPrefix(string(ManagerPath), strings.TrimSuffix(string(n.path), "/")+"/")
	name, _, _ := strings.Cut(rest, "/")
	return []string{name}
}
