package main

import (
	"context"
	"fmt"
	"time"
)

// modulesPlan is "bench modules": for each release of PostgreSQL that is here,
// one file, whose functions are workers of the server and of pg-bgw.
func modulesPlan() plan {
	p := plan{discover: discoverModules, scenarios: moduleScenarios, metrics: moduleMetrics, method: []string{
		fmt.Sprint("Both sides have max_worker_processes ", moduleSlots, " and load one and the same file; the worker that loads it itself loads a copy of it."),
		"Memory is that of each worker alone, of its smaps_rollup half a second after the last was up, with what it has touched of shared memory. " +
			"PSS counts a page by its share among all that map it: the other workers, who forked them, and for files of the system any process.",
	}}
	for i, major := range postgresMajors() {
		p.goals = append(p.goals, moduleGoals(major)...)
		if i > 0 { // the newest is there by itself
			p.bases = append(p.bases, fmt.Sprint("postgresql-", major))
		}
	}
	return p
}

func discoverModules(b *lab) []func() (peer, error) {
	var all []func() (peer, error)
	for _, major := range postgresMajors() {
		all = append(all, b.at(fmt.Sprint(oursModule, "-", major), newModules(byModule, major)),
			b.at(fmt.Sprint("postgresql-", major), func(s seat) peer {
				p := newPostgres(s, major).(*postgres)
				p.slots = moduleSlots
				return p
			}),
			b.at(fmt.Sprint(oursModuleControl, "-", major), newModules(byModuleControl, major)),
			b.at(fmt.Sprint(oursModuleBus, "-", major), newModules(byModuleBus, major)))
	}
	return all
}

var moduleScenarios = []scenario{
	{"register", allRounds, func(m *measuring, ctx context.Context, p peer) error {
		return m.register(ctx, p, "register", preloadedModule)
	}},
	{"register-cold", allRounds, func(m *measuring, ctx context.Context, p peer) error {
		return m.register(ctx, p, "register-cold", coldModule)
	}},
	{"restart", allRounds, (*measuring).restartModules},
	{"up100", allRounds, func(m *measuring, ctx context.Context, p peer) error { return m.up(ctx, p, 100, preloadedModule) }},
	{"memory10", allRounds, func(m *measuring, ctx context.Context, p peer) error { return m.memory(ctx, p, 10) }},
	{"memory50", allRounds, func(m *measuring, ctx context.Context, p peer) error { return m.memory(ctx, p, 50) }},
}

var moduleMetrics = []metric{
	{"register", "register to first instruction, library preloaded", "us"},
	{"register-cold", "register to first instruction, library loaded by the worker", "us"},
	{"exit1", "exit 1 to the next first instruction, library preloaded, restart_time 0", "us"},
	{"up100", "100 asked for at once, library preloaded, all up", "ms"},
	{"cpu", "processor time of each of these 100 starts, everybody's", "us"},
	{"cpu-supervisor", "of these, the supervisor's", "us"},
	{"cpu-launcher", "of these, its launchers'", "us"},
	{"cpu-asking", "of these, of who asks and of the bus between", "us"},
	{"cpu-worker", "of these, the worker's own, from its fork until it waits", "us"},
	{"pss10", "memory of each of 10 idle workers without a connection (PSS)", "KiB"},
	{"dirty10", "of this, private and dirty", "KiB"},
	{"pss50", "memory of each of 50 idle workers without a connection (PSS)", "KiB"},
	{"dirty50", "of this, private and dirty", "KiB"},
}

// moduleGoals compare pg-bgw with the server of the same release.
func moduleGoals(major int) []goal {
	server := fmt.Sprint("postgresql-", major)
	versus := func(what, metric, peer string, limit float64) goal {
		return goal{what: fmt.Sprintf("%s, against PostgreSQL %d's", what, major), limit: limit, unit: "x",
			value: func(r results, _ string) spread {
				return r.ratio(metric, fmt.Sprint(peer, "-", major), metric, server)
			}}
	}
	return []goal{
		versus("register by the module to first instruction", "register", oursModule, 0.5),
		versus("the same over the control socket", "register", oursModuleControl, 0.5),
		versus("restart after exit 1", "exit1", oursModule, 0.5),
		versus("PSS of each of 10 idle workers", "pss10", oursModule, 0.6),
		versus("private dirty memory of each of them", "dirty10", oursModule, 0.25),
		versus("PSS of each of 50 idle workers", "pss50", oursModule, 0.6),
		versus("private dirty memory of each of them", "dirty50", oursModule, 0.25),
	}
}

// restartModules: workers leave with status 1, one at a time.
func (m *measuring) restartModules(ctx context.Context, p peer) error {
	n := m.opt.samples
	return withWorkers(ctx, p, n, preloadedModule, func() error {
		pids, err := pidsOf(p, 0, n)
		if err != nil {
			return err
		}
		for i, pid := range pids {
			v, err := exitOne(ctx, p, i, pid)
			if err != nil {
				return err
			}
			m.add("exit1", p.name(), v)
			if err := pause(ctx, cool); err != nil {
				return err
			}
		}
		return nil
	})
}

// idleFirst is how long workers have waited before their memory is read.
const idleFirst = 500 * time.Millisecond

// memory notes what each of n workers that wait costs by itself, once all are
// up: with the workers, whatever forked them shares its pages.
func (m *measuring) memory(ctx context.Context, p peer, n int) error {
	return withWorkers(ctx, p, n, preloadedModule, func() error {
		if err := pause(ctx, idleFirst); err != nil {
			return err
		}
		pids, err := pidsOf(p, 0, n)
		if err != nil {
			return err
		}
		for _, pid := range pids {
			rollup := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
			for metric, name := range map[string]string{"pss": "Pss:", "dirty": "Private_Dirty:"} {
				kib, err := statusField(rollup, name)
				if err != nil {
					return fmt.Errorf("cannot read the memory of worker process %d: %w", pid, err)
				}
				m.add(fmt.Sprint(metric, n), p.name(), kib)
			}
		}
		return nil
	})
}
