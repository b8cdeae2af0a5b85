package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"
)

// card prints what machine this is and what its kernel and cores cost.
// Figures of different cards are not comparable.
func card(ctx context.Context, w io.Writer, b *lab) error {
	out, err := exec.CommandContext(ctx, b.path("card"), b.path("worker-nolibc")).Output()
	if err != nil {
		return fmt.Errorf("cannot measure the machine: %w", err)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "The machine\n")
	fmt.Fprintf(t, "  processor\t%s, %d cores\n", cpuModel(), runtime.NumCPU())
	fmt.Fprintf(t, "  kernel\t%s\n", kernel())
	fmt.Fprintf(t, "  system\t%s\n", distribution())
	if kib, err := statusField("/proc/meminfo", "MemTotal:"); err == nil {
		fmt.Fprintf(t, "  memory\t%.1f GiB\n", kib/1024/1024)
	}
	fmt.Fprintf(t, "  Go\t%s\n", runtime.Version())
	for line := range strings.Lines(string(out)) {
		fmt.Fprintf(t, "  %s", line)
	}
	return t.Flush()
}

// step prints what one step of the state machine takes in tables of several
// sizes: the benchmark that the package has for itself.
func step(ctx context.Context, w io.Writer, opt options) {
	each := "200ms"
	if opt.quick {
		each = "20ms"
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "Step", "-benchtime", each, "./units/supervise")
	out, err := cmd.CombinedOutput()
	if err != nil {
		fmt.Fprintf(w, "The state machine's step is not measured: %v\n%s\n", err, out)
		return
	}
	fmt.Fprintf(w, "The state machine's step\n")
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "Benchmark") {
			fmt.Fprintf(w, "  %s", line)
		}
	}
	fmt.Fprintln(w)
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

func distribution() string {
	b, _ := os.ReadFile("/etc/os-release")
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return "unknown"
}
