package launch

// A Poller waits for any number of descriptors with one goroutine and no
// thread: an epoll instance that is itself parked in the runtime's poller.
type Poller struct{}

// NewPoller starts a poller.
func NewPoller() (*Poller, error) { return nil, errTODO }

// Add calls f on the poller's goroutine whenever one of events (EPOLLIN,
// EPOLLOUT, EPOLLPRI; EPOLLERR and EPOLLHUP always) holds for fd,
// level-triggered unless EPOLLET or EPOLLONESHOT is given. f must not block and
// must consume what made it called. The caller keeps fd open until Remove.
func (p *Poller) Add(fd int, events uint32, f func(events uint32)) error { return errTODO }

// Modify changes the events of a descriptor that was added.
func (p *Poller) Modify(fd int, events uint32) error { return errTODO }

// Remove forgets fd. Called on the poller's goroutine, it guarantees that f is
// not called again; called elsewhere, a call that has begun may still be running.
// An unknown fd is ignored.
func (p *Poller) Remove(fd int) {}

// Close ends the goroutine. No function is called after it has returned, unless
// it is called on the poller's own goroutine.
func (p *Poller) Close() error { return nil }
