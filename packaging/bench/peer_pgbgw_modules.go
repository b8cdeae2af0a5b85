package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// preloadedModule and coldModule are the programs of workers that are functions
// of a library: one that is preloaded, and one that each worker loads.
const (
	preloadedModule = "preloaded"
	coldModule      = "cold"
)

// moduleSlots is max_worker_processes on both sides: as many workers as
// -samples can ask for, and room for who registers them.
const moduleSlots = 250

// newModules is pg-bgw with modules of one release, whose workers are
// registered in way w.
func newModules(w way, major int) func(at seat) peer {
	return func(at seat) peer {
		p := newPgbgw(w)(at).(*pgbgw)
		p.major, p.slots = major, moduleSlots
		return p
	}
}

const ourModules = `
shared_preload_libraries = [%q]
postgresql               = %d
settings = {
  "pgbgw_bench.ledger" = %q
}
`

const ourRegistrar = `
worker "registrar" {
  library_name  = %q
  function_name = "bench_registrar_main"
  extra         = %q
  flags         = ["shmem_access"]
  start_time    = "postmaster_start"
  restart_time  = "never"
}
`

// library is the file whose workers are asked for.
func (p *pgbgw) library() string {
	file := p.lab.module(extension, p.major)
	if p.program == coldModule {
		return coldCopy(file)
	}
	return file
}

// compileModules builds the module and what it runs on.
func (p *pgbgw) compileModules(ctx context.Context) error {
	if err := p.lab.makeModule(ctx, extension, p.major); err != nil {
		return err
	}
	if _, err := os.Stat(p.built(fmt.Sprintf("libpgbgw-pg%d.so", p.major))); err == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, "sh", "contrib/libpgbgw/pg/build.sh", filepath.Join(serverBin(p.major), "pg_config"), p.built(""))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build for modules of PostgreSQL %d: %w\n%s", p.major, err, out)
	}
	return nil
}

// defineModules has the module preloaded, and a worker of it that registers the
// others where that is the way.
func (p *pgbgw) defineModules() (workers string, err error) {
	p.settings = fmt.Sprintf(ourModules, p.library(), p.major, p.book.path)
	if p.way != byModule {
		return "", nil
	}
	if p.registrar, err = newRegistrar(p.path("registrar")); err != nil {
		return "", err
	}
	return fmt.Sprintf(ourRegistrar, p.library(), p.path("registrar")), nil
}

// moduleDefinition is worker i, as c/pgext.c defines it.
func (p *pgbgw) moduleDefinition(i int) dbusapi.Definition {
	return dbusapi.Definition{
		Set: dbusapi.KeyName | dbusapi.KeyFlags | dbusapi.KeyStartTime | dbusapi.KeyRestartTime |
			dbusapi.KeyLibraryName | dbusapi.KeyFunctionName | dbusapi.KeyMainArg | dbusapi.KeyExtra,
		Name: fmt.Sprint("bench ", i), Flags: []string{"shmem_access"}, StartTime: "postmaster_start",
		LibraryName: p.library(), FunctionName: "bench_worker_main", MainArg: uint64(i), Extra: []byte(p.book.path),
	}
}

// A registrar is a worker of the module that registers the others, by the
// functions that PostgreSQL gives to modules: bench_registrar_main.
type registrar struct {
	listener *net.UnixListener
	orders   *orders // nil: it has not come
	pid      int     // the worker's process
}

// newRegistrar listens, before the worker is started.
func newRegistrar(path string) (*registrar, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the registrar: %w", err)
	}
	return &registrar{listener: l}, nil
}

// accept waits for the worker, 20 s at most.
func (r *registrar) accept() error {
	if err := r.listener.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	conn, err := r.listener.AcceptUnix()
	if err != nil {
		return fmt.Errorf("the registrar does not come up: %w", err)
	}
	if r.pid, err = peerPID(conn); err != nil {
		return errors.Join(fmt.Errorf("cannot tell the registrar's process: %w", err), conn.Close())
	}
	r.orders = &orders{role: "registering", conn: conn, in: bufio.NewReader(conn)}
	return nil
}

// close may be called of a registrar that is not there.
func (r *registrar) close() {
	if r == nil {
		return
	}
	r.listener.Close()
	if r.orders != nil {
		r.orders.conn.Close()
	}
}

// ask has workers first to first+n-1 registered or ended; "start" or "stop".
func (r *registrar) ask(ctx context.Context, what string, first, n int, library string) error {
	_, err := r.orders.ask(ctx, "%s %d %d %s", what, first, n, library)
	return err
}
