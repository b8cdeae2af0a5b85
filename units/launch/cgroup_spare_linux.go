package launch

import "golang.org/x/sys/unix"

// Prepare makes the cgroups of workers that may be started soon, those with these
// IDs, and removes what earlier calls have made and no start has used: of what a
// start costs this process that is a third. A start whose cgroup is not there makes
// it, so nothing depends on a guess. What cannot be made or removed is left: a
// start will say why. It is called while there is nothing else to do.
func (c *Cgroups) Prepare(ids []string) {
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spares == nil {
		return
	}
	for id := range c.spares {
		if !wanted[id] {
			delete(c.spares, id)
			_ = c.rmdir(id)
		}
	}
	for _, id := range ids {
		if !c.spares[id] && unix.Mkdirat(c.dir, workerPrefix+id, 0o755) == nil {
			c.spares[id] = true
		}
	}
}

// Unprepare removes what Prepare has made; calls of Prepare after it do nothing.
func (c *Cgroups) Unprepare() {
	c.Prepare(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spares = nil
}

// takeSpare says whether the cgroup of worker id has been prepared, for the one that asks.
func (c *Cgroups) takeSpare(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	there := c.spares[id]
	delete(c.spares, id)
	return there
}
