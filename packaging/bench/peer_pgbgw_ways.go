package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// A way is how workers of pg-bgw are registered.
type way int

const (
	// byTemplate is the way of most figures: only a definition of the
	// administrator's can have a sandbox.
	byTemplate way = iota
	// byBus registers whatever the caller says, without a sandbox.
	byBus
	// byList registers as byBus does, all that are asked for at once with one call.
	byList
	// byControl has one worker register the others over its control socket.
	byControl
	// byPair has two workers that exchange messages in shared memory.
	byPair
	// byPhase has two workers that follow a server, which is watched as the
	// peer's evidence says.
	byPhase
	// byModule has workers of a module registered by one of them.
	byModule
	// byModuleControl is byControl for workers of a module.
	byModuleControl
	// byModuleBus is byBus for workers of a module.
	byModuleBus
)

// The names by which goals find pg-bgw.
const (
	ours        = "pg-bgw"
	oursDynamic = "pg-bgw-dynamic"
	oursList    = "pg-bgw-list"
	oursControl = "pg-bgw-control"
	oursPair    = "pg-bgw-pair"
	oursPhase   = "pg-bgw" // by a word of evidence after it
	// With the release after it.
	oursModule        = "pg-bgw"
	oursModuleControl = "pg-bgw-control"
	oursModuleBus     = "pg-bgw-bus"
)

func (w way) name() string {
	return [...]string{ours, oursDynamic, oursList, oursControl, oursPair, oursPhase, oursModule, oursModuleControl, oursModuleBus}[w]
}

func (w way) note() string {
	return [...]string{
		"Instantiate over a private dbus-daemon, of a template with sandbox { no_new_privileges = true }; the client is package dbusapi in this program, " +
			fmt.Sprint(outstanding) + " calls outstanding at most. Cgroup, sandbox, slot table, segment and log are included; the log is a file, " +
			"since the daemon is no service of this machine's, so a worker's output goes through the daemon; no watchdog. " +
			"Memory is the daemon's and the launcher's, without segments.",
		"as before, but RegisterDynamicBackgroundWorker, whose caller cannot ask for a sandbox.",
		"as before, but RegisterDynamicBackgroundWorkers, one call for all that are asked for at once; PostgreSQL has no such call, its loop in one backend is its best.",
		"Register over the control socket, by a Go worker with package shm, " + fmt.Sprint(outstanding) + " calls outstanding at most; without a sandbox, which it cannot ask for either. Time runs from the worker's call.",
		"two workers with package shm, and two with libpgbgw, attached to one segment of a pg-bgwd.",
		"two workers without a session, of a pg-bgwd that watches the server; cgroup, slot table, segment and log included.",
		"RegisterDynamicBackgroundWorker in a worker of the module, c/pgext.c as in the server; no sandbox, cgroup, slot table, segment and log included. Time runs from the call.",
		"the same workers, registered over the control socket by a Go worker with package shm. Time runs from its call.",
		"the same workers, registered over a private dbus-daemon by package dbusapi in this program. Time runs from its call.",
	}[w]
}

// scenarios are those in which the way matters; nil: all.
func (w way) scenarios() []string {
	return [...][]string{nil, {"register", "register-glibc", "up100"}, {"up100", "up500"}, {"register", "register-glibc", "up100", "terminate"}, {}, {},
		nil, {"register", "register-cold", "up100"}, {"register", "register-cold", "up100"}}[w]
}

const ourTemplate = `
template "%s" {
  name         = "bench %%i"
  command      = ["%s", "%s:%%i"]
  flags        = ["shmem_access"]
  start_time   = "postmaster_start"
  restart_time = 0
  sandbox {
    no_new_privileges = true
  }
}
`

const ourController = `
worker "controller" {
  command      = ["%s", "%s", "%s"]
  flags        = ["shmem_access"]
  start_time   = "postmaster_start"
  restart_time = "never"
}
`

const ourMember = `
worker "%s" {
  command      = [%s]
  flags        = ["shmem_access"]
  start_time   = "postmaster_start"
  restart_time = "never"
}
`

// define writes what the way needs into workers.d, and sets the settings.
func (p *pgbgw) define() error {
	var text strings.Builder
	if p.major != 0 {
		workers, err := p.defineModules()
		if err != nil {
			return err
		}
		text.WriteString(workers)
	}
	switch p.way {
	case byTemplate:
		for _, program := range []string{"worker-nolibc", "worker-glibc"} {
			fmt.Fprintf(&text, ourTemplate, program, p.lab.path(program), p.book.path)
		}
	case byControl, byModuleControl:
		self, err := os.Executable()
		if err != nil {
			return err
		}
		if p.inside, err = newController(p.path("controller")); err != nil {
			return err
		}
		fmt.Fprintf(&text, ourController, self, controlCommand, p.path("controller"))
	case byPair:
		self, err := os.Executable()
		if err != nil {
			return err
		}
		if p.members, err = listenForMembers(p.path("members")); err != nil {
			return err
		}
		if p.inC, err = listenForMembers(p.path("members-c")); err != nil {
			return err
		}
		for _, role := range roles {
			fmt.Fprintf(&text, ourMember, role, fmt.Sprintf("%q, %q, %q, %q", self, memberCommand, p.path("members"), role))
			fmt.Fprintf(&text, ourMember, role+"-c", fmt.Sprintf("%q, %q, %q", p.built("member"), p.path("members-c"), role))
		}
	case byPhase:
		for i, when := range phases {
			fmt.Fprintf(&text, ourFollower, when, p.lab.path("worker-nolibc"), p.book.path, i, when)
		}
	}
	return os.WriteFile(p.path("workers.d", "bench.hcl"), []byte(text.String()), 0o644)
}

// register registers worker i over the bus.
func (p *pgbgw) register(ctx context.Context, i int) (dbusapi.Handle, error) {
	if p.way == byTemplate {
		return p.client.Instantiate(ctx, p.program, strconv.Itoa(i), dbusapi.Definition{}, 0)
	}
	if p.way == byModuleBus {
		return p.client.RegisterDynamicBackgroundWorker(ctx, p.moduleDefinition(i), 0)
	}
	return p.client.RegisterDynamicBackgroundWorker(ctx, p.definition(i), 0)
}

// registerList registers workers first to first+n-1 with one call.
func (p *pgbgw) registerList(ctx context.Context, first, n int) error {
	defs := make([]dbusapi.Definition, n)
	for k := range defs {
		defs[k] = p.definition(first + k)
	}
	answers, err := p.client.RegisterDynamicBackgroundWorkers(ctx, defs, 0)
	for k, a := range answers {
		p.handles[first+k] = a.Handle
		err = errors.Join(err, a.Err)
	}
	return err
}

// definition is that of worker i.
func (p *pgbgw) definition(i int) dbusapi.Definition {
	return dbusapi.Definition{
		Set:       dbusapi.KeyName | dbusapi.KeyFlags | dbusapi.KeyStartTime | dbusapi.KeyRestartTime | dbusapi.KeyCommand,
		Name:      fmt.Sprint("bench ", i),
		Flags:     []string{"shmem_access"},
		StartTime: "postmaster_start",
		Command:   []string{p.lab.path(p.program), fmt.Sprintf("%s:%d", p.book.path, i)},
	}
}
