package launch

// LimitNames are the names that Spec.Limits may have.
func LimitNames() []string { return nil }

// CgroupOptions are what OpenCgroups may be told. The zero value is complete.
type CgroupOptions struct {
	// Root is the delegated cgroup's directory; "": found by way of
	// /proc/self/cgroup and /proc/self/mountinfo.
	Root string
	// Keep are the IDs of workers that live on (re-execution); all other
	// worker-* cgroups are killed and removed.
	Keep []string
}

// Cgroups is the delegated cgroup v2 in which each worker gets its own.
type Cgroups struct{}

// OpenCgroups moves this process into supervisor/ below the delegated cgroup,
// enables the controllers that there are, and clears leftovers of an earlier
// life. An error says why there is no delegation: go on without, with the
// reason in the log.
func OpenCgroups(opts CgroupOptions) (*Cgroups, error) { return nil, errTODO }

// Root returns the delegated cgroup's directory.
func (c *Cgroups) Root() string { return "" }

// Controllers returns the controllers that workers' cgroups have, sorted.
func (c *Cgroups) Controllers() []string { return nil }

// Close closes the descriptor of the root.
func (c *Cgroups) Close() error { return nil }
