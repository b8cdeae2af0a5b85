package shm

import "github.com/pg-bgw/pg-bgw/shm/control"

// Handle names one registration of a worker: a slot, and the generation that
// the slot had then. It stays the same over restarts of its worker, and never
// names another.
type Handle = control.Handle
