package dbusapi

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Names on the bus. The 1 is the major version of the API: a break makes org.pgbgw2, served beside this one.
const (
	BusName          = "org.pgbgw1"
	ManagerInterface = "org.pgbgw1.Manager"
	WorkerInterface  = "org.pgbgw1.Worker"
	ServerInterface  = "org.pgbgw1.Server"

	// ManagerPath is the object with ManagerInterface and org.freedesktop.DBus.ObjectManager.
	ManagerPath dbus.ObjectPath = "/org/pgbgw1"
)

const workerDir = "/org/pgbgw1/worker"

// Standard interfaces.
const (
	peerInterface          = "org.freedesktop.DBus.Peer"
	introspectInterface    = "org.freedesktop.DBus.Introspectable"
	propertiesInterface    = "org.freedesktop.DBus.Properties"
	objectManagerInterface = "org.freedesktop.DBus.ObjectManager"
)

// Handle names one registration: a slot and the generation that slot had then. It survives restarts of its worker and
// never matches a later registration in the same slot (BGW-026, BGW-032). The zero Handle is never given out.
type Handle struct {
	Slot       uint32
	Generation uint64
}

// Path returns the handle as it travels on the bus: /org/pgbgw1/worker/s<slot>_g<generation>, both decimal.
func (h Handle) Path() dbus.ObjectPath {
	b := make([]byte, 0, 64)
	b = strconv.AppendUint(append(b, workerDir+"/s"...), uint64(h.Slot), 10)
	b = strconv.AppendUint(append(b, "_g"...), h.Generation, 10)
	return dbus.ObjectPath(b)
}

// String returns the last element of the path, s<slot>_g<generation>.
func (h Handle) String() string { return fmt.Sprintf("s%d_g%d", h.Slot, h.Generation) }

// compare orders handles by slot, then generation.
func (h Handle) compare(other Handle) int {
	return cmp.Or(cmp.Compare(h.Slot, other.Slot), cmp.Compare(h.Generation, other.Generation))
}

// ParseHandle is the reverse of [Handle.Path]. Every handle has exactly one spelling: signs, leading zeros and numbers
// out of range are refused with InvalidArgs.
func ParseHandle(path dbus.ObjectPath) (Handle, error) {
	h, ok := parseHandle(path)
	if !ok {
		return Handle{}, Errorf(ErrorInvalidArgs, "handle %q is not a worker's object path: expected %s/s<slot>_g<generation>",
			bounded(string(path), 128), workerDir)
	}
	return h, nil
}

func parseHandle(path dbus.ObjectPath) (Handle, bool) {
	rest, ok := strings.CutPrefix(string(path), workerDir+"/s")
	if !ok {
		return Handle{}, false
	}
	slotText, generationText, ok := strings.Cut(rest, "_g")
	if !ok {
		return Handle{}, false
	}
	slot, err := strconv.ParseUint(slotText, 10, 32)
	if err != nil {
		return Handle{}, false
	}
	generation, err := strconv.ParseUint(generationText, 10, 64)
	if err != nil {
		return Handle{}, false
	}
	h := Handle{Slot: uint32(slot), Generation: generation}
	return h, h.Path() == path
}
