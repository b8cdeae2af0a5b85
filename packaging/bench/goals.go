package main

import "fmt"

// The names by which goals find their peers; pg-bgw's are in peer_pgbgw_ways.go.
const (
	runit = "runit"
	floor = "csup"
)

// A goal is one promise about pg-bgw. value is what was measured, n = 0 if it
// was not; smaller is better unless atLeast.
type goal struct {
	what    string
	limit   float64
	unit    string
	atLeast bool
	value   func(r results, server string) spread
}

// goals are those of the lifecycle; server is the PostgreSQL peer's name.
var goals = []goal{
	{what: "restart after exit 1, against PostgreSQL's", limit: 0.5, unit: "x",
		value: func(r results, server string) spread { return r.ratio("exit1", ours, "exit1", server) }},
	{what: "restart after kill -9, against PostgreSQL's after exit 1", limit: 0.5, unit: "x",
		value: func(r results, server string) spread { return r.ratio("kill", ours, "exit1", server) }},
	{what: "restart after kill -9, against runit's", limit: 1.0, unit: "x",
		value: func(r results, server string) spread { return r.ratio("kill", ours, "kill", runit) }},
	{what: "the worst restart of the soak", limit: 50, unit: "ms",
		value: func(r results, server string) spread {
			return scale(r.over("soak", ours, func(x round) float64 { return x.worst }), 1e-3)
		}},
	registerGoal("register over dbus-daemon to first instruction, glibc worker", 1.2, "register-glibc", oursDynamic),
	registerGoal("the same by a template with sandbox", 1.2, "register-glibc", ours),
	registerGoal("register over the control socket to first instruction, glibc worker", 1.0, "register-glibc", oursControl),
	registerGoal("the same, worker without libc", 1.0, "register", oursControl),
	{what: "registered starts per second over dbus-daemon, 100 by one call, against PostgreSQL's loop", limit: 3, unit: "x", atLeast: true,
		value: func(r results, server string) spread { return r.ratio("up100", server, "up100", oursList) }},
	{what: "the same over the control socket, 100 calls at once", limit: 3, unit: "x", atLeast: true,
		value: func(r results, server string) spread { return r.ratio("up100", server, "up100", oursControl) }},
	{what: "1,000 killed at once, all back", limit: 600, unit: "ms",
		value: func(r results, server string) spread {
			return scale(r.medians("back1000", ours), 1e-3)
		}},
	{what: "memory of daemon and launcher at 1,000 (12 MB and 3 kB a worker)", limit: 12*1024 + 3*1000, unit: "KiB",
		value: func(r results, server string) spread { return r.medians("pss1000", ours) }},
	{what: "context switches a minute while idle, at 1,000 (the watchdog's only)", limit: 2, unit: "/min",
		value: func(r results, server string) spread { return r.medians("switches1000", ours) }},
}

// registerGoal compares with PostgreSQL's registration from inside of the server.
func registerGoal(what string, limit float64, metric, peer string) goal {
	return goal{what: what + ", against PostgreSQL's in-process", limit: limit, unit: "x",
		value: func(r results, server string) spread { return r.ratio(metric, peer, metric, server) }}
}

func scale(s spread, by float64) spread {
	return spread{s.median * by, s.low * by, s.high * by, s.n}
}

// verdict judges a measured value. A miss by up to a tenth, or one that the
// best round does not share, is within what a shared machine explains.
func (g goal) verdict(s spread) string {
	best, slack := s.low, 1.1
	beats := func(v, limit float64) bool { return v <= limit }
	if g.atLeast {
		best, slack = s.high, 0.9
		beats = func(v, limit float64) bool { return v >= limit }
	}
	switch {
	case s.n == 0:
		return "not measured"
	case beats(s.median, g.limit):
		return "met"
	case beats(s.median, g.limit*slack), beats(best, g.limit):
		return "close"
	default:
		return "missed"
	}
}

func (g goal) bound() string {
	sign := "<="
	if g.atLeast {
		sign = ">="
	}
	return fmt.Sprintf("%s %g %s", sign, g.limit, g.unit)
}
