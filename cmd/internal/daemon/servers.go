package daemon

import (
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/config"
)

// watchServers follows the servers of c. Without any, every phase is reached.
func (d *Daemon) watchServers(c *config.Config) {
	if len(c.Servers) == 0 {
		d.supervisor.Phase("", units.PhaseRunning)
	}
}

// phases are the servers' phases as the bus shows them.
func (d *Daemon) phases() map[string]string { return map[string]string{} }
