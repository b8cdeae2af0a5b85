package launch

import (
	"fmt"
	"slices"
	"strings"
)

// limitNames are the cgroup attributes that a worker may be given, sorted; what
// is before the first dot is the controller.
var limitNames = []string{
	"cpu.max", "cpu.weight", "io.weight", "memory.high", "memory.low", "memory.max",
	"memory.oom.group", "memory.swap.max", "pids.max",
}

// LimitNames returns the names that Spec.Limits may have, sorted.
func LimitNames() []string { return slices.Clone(limitNames) }

func controllerOf(limit string) string {
	name, _, _ := strings.Cut(limit, ".")
	return name
}

func wantedControllers() []string {
	var names []string
	for _, l := range limitNames {
		names = append(names, controllerOf(l))
	}
	return slices.Compact(names)
}

// checkLimit returns what is wrong with a limit, or "". The values' own rules
// are the kernel's: it refuses what it does not like when the worker starts.
func checkLimit(name, value string) string {
	if _, ok := slices.BinarySearch(limitNames, name); !ok {
		return "no such limit; there are " + strings.Join(limitNames, ", ")
	}
	if value == "" || len(value) > 100 || strings.ContainsAny(value, "\n\x00") {
		return fmt.Sprintf("%q is not a value of one line", value)
	}
	return ""
}
