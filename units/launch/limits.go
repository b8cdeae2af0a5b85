package launch

import (
	"fmt"
	"slices"
	"strings"
)

// limits are the cgroup attributes that a worker may be given, sorted by name,
// with what they are in a new cgroup (cgroup-v2.rst of the kernel). What is
// before the first dot is the controller.
var limits = []struct{ name, initial string }{
	{"cpu.max", "max"}, {"cpu.weight", "100"}, {"io.weight", "100"}, {"memory.high", "max"}, {"memory.low", "0"},
	{"memory.max", "max"}, {"memory.oom.group", "0"}, {"memory.swap.max", "max"}, {"pids.max", "max"},
}

// LimitNames returns the names that Spec.Limits may have, sorted.
func LimitNames() []string {
	var names []string
	for _, l := range limits {
		names = append(names, l.name)
	}
	return names
}

func controllerOf(limit string) string {
	name, _, _ := strings.Cut(limit, ".")
	return name
}

func wantedControllers() []string {
	var names []string
	for _, l := range limits {
		names = append(names, controllerOf(l.name))
	}
	return slices.Compact(names)
}

// checkLimit returns what is wrong with a limit, or "". The values' own rules
// are the kernel's: it refuses what it does not like when the worker starts.
func checkLimit(name, value string) string {
	names := LimitNames()
	if _, ok := slices.BinarySearch(names, name); !ok {
		return "no such limit; there are " + strings.Join(names, ", ")
	}
	if value == "" || len(value) > 100 || strings.ContainsAny(value, "\n\x00") {
		return fmt.Sprintf("%q is not a value of one line", value)
	}
	return ""
}
