package daemon

import (
	"fmt"
	"os"
	"strconv"

	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/server"
)

// login is how a worker with a connection gets into its server.
func (d *Daemon) login(w *units.Worker) (*server.Login, error) {
	return server.NewLogin(d.serverOfLabel(w.Server), w, d.passed) // standalone: as libpq finds one
}

// connection passes on the files of the worker's login, each as a descriptor
// that no other process has, and returns the variables.
func (l *launcher) connection(w *units.Worker, p *prepared) ([]string, error) {
	login, err := l.login(w)
	if err != nil {
		return nil, fmt.Errorf("connection: %w", err)
	}
	uid := uint32(os.Geteuid())
	if p.spec.Credential != nil {
		uid = p.spec.Credential.UID
	}
	if len(login.Files) > 0 {
		l.secrets.Do(l.tellSecrets)
	}
	numbers := map[string]int{}
	for _, f := range login.Files {
		fd, err := f.Memfd(uid)
		if err != nil {
			return nil, fmt.Errorf("connection: %w", err)
		}
		p.files = append(p.files, fd)
		numbers[f.Name] = p.add(f.Name, fd)
	}
	return login.Environ(func(f server.LoginFile) string {
		return "/proc/self/fd/" + strconv.Itoa(numbers[f.Name])
	}), nil
}

// tellSecrets says, once, that secrets are passed where workers can take them.
func (l *launcher) tellSecrets() {
	if !workersApart() {
		l.log.Warn("workers of one user can read each other's passwords: the service needs a kernel with Landlock and NoNewPrivileges=yes")
	}
}
