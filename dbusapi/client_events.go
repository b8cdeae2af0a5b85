package dbusapi

import "context"

// EventKind says what an [Event] is about and which of its fields mean something.
type EventKind int

// The kinds. The last three are made by the Client itself.
const (
	EventStateChanged EventKind = iota // Handle, Change
	EventNew                           // Handle, Label
	EventRemoved                       // Handle
	EventReloading                     // Active
	EventDaemonGone                    // the bus name lost its owner: POSTMASTER_DIED (BGW-043)
	EventDaemonBack                    // a daemon took the name; handles of the earlier one match nothing
	EventMissed                        // the receiver was too slow and events were dropped: read everything again
)

// Event is a signal of the daemon, its sender verified.
type Event struct {
	Kind   EventKind
	Handle Handle
	Label  string
	Change StateChange
	Active bool // a reload is under way
}

// Events returns the daemon's signals in order, until ctx ends or the bus is lost; then the channel is closed. With all
// false they are the notifications for workers that this Client owns; with all true it subscribes, again after each
// restart of the daemon, and gets everything. Signals by anybody but the owner of the name are dropped.
func (c *Client) Events(ctx context.Context, all bool) (<-chan Event, error) {
	return nil, nil
}
