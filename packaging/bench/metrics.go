package main

// A metric is one table of the report.
type metric struct {
	id, title, unit string
}

// metrics in the order of the report. Times are collected in microseconds and
// printed in the unit.
var metrics = []metric{
	{"register", "register to first instruction, worker without libc", "us"},
	{"register-glibc", "register to first instruction, glibc worker", "us"},
	{"exit1", "exit 1 to the next first instruction, restart_time 0", "us"},
	{"kill", "kill -9 to the next first instruction, restart_time 0", "us"},
	{"terminate", "terminate to owner told", "us"},
	{"up100", "100 asked for at once, all up", "ms"},
	{"cpu", "processor time of each of these 100 starts, everybody's", "us"},
	{"cpu-supervisor", "of these, the supervisor's", "us"},
	{"cpu-launcher", "of these, its launcher's", "us"},
	{"cpu-asking", "of these, of who asks and of the bus between", "us"},
	{"cpu-worker", "of these, the worker's own, from its fork until it waits", "us"},
	{"up500", "500 asked for at once, all up", "ms"},
	{"up1000", "1,000 asked for at once, all up", "ms"},
	{"back1000", "1,000 killed at once, all back", "ms"},
	{"soak", "restarts after exit 1, one after the other: the worst", "ms"},
	{"pss1", "memory of the supervisor, 1 worker (PSS)", "KiB"},
	{"pss100", "memory of the supervisor, 100 workers (PSS)", "KiB"},
	{"pss1000", "memory of the supervisor, 1,000 workers (PSS)", "KiB"},
	{"switches1", "context switches of the supervisor a minute, idle, 1 worker", "/min"},
	{"switches100", "context switches of the supervisor a minute, idle, 100 workers", "/min"},
	{"switches1000", "context switches of the supervisor a minute, idle, 1,000 workers", "/min"},
}
