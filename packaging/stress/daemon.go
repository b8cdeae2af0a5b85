package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// daemon is a pg-bgwd with the ring's driver as its one worker.
type daemon struct {
	cmd  *exec.Cmd
	log  *record
	done chan struct{} // closed when it has ended
	err  error         // how, after done
}

const definition = `worker "ring" {
  command      = [%s]
  flags        = ["shmem_access"]
  restart_time = 0
  kill_timeout = "20s"
}
`

func startDaemon(dir string, programs []string) (*daemon, error) {
	if err := os.MkdirAll(filepath.Join(dir, "workers.d"), 0o755); err != nil {
		return nil, err
	}
	command := fmt.Sprintf("%q, %q", filepath.Join(dir, "ring"), "-stress")
	for _, p := range programs {
		command += fmt.Sprintf(", %q", p)
	}
	config := filepath.Join(dir, "pg-bgw.hcl")
	for name, text := range map[string]string{config: "", filepath.Join(dir, "workers.d", "ring.hcl"): fmt.Sprintf(definition, command)} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	file, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	d := &daemon{log: &record{file: file}, done: make(chan struct{})}
	d.cmd = exec.Command(filepath.Join(dir, "pg-bgwd"), "--config", config, "--workers", filepath.Join(dir, "workers.d"),
		"--bus", "none", "--runtime-dir", filepath.Join(dir, "run"))
	d.cmd.Env = append(os.Environ(), "STATE_DIRECTORY="+dir)
	d.cmd.Stderr = d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start pg-bgwd: %w", err)
	}
	go func() { d.err = d.cmd.Wait(); close(d.done) }()
	return d, nil
}

// standstill is how long no ring may end, whatever is killed.
const standstill = 3 * time.Minute

// watch prints the progress for that long, and until a ring has ended, which on a
// busy machine is later; or until ctx ends. It returns early with what is wrong.
func (d *daemon) watch(ctx context.Context, duration time.Duration, w io.Writer, k *killer) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	begun := time.Now()
	last, printed := begun, begun
	seen := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.done:
			return fmt.Errorf("pg-bgwd ended: %v", d.err)
		case <-ticker.C:
		}
		rings, messages := d.log.progress()
		if rings != seen {
			seen, last = rings, time.Now()
		}
		if bad := d.log.wrong(); bad != "" {
			return fmt.Errorf("the log says: %s", bad)
		}
		if time.Since(last) > standstill {
			return fmt.Errorf("no ring has ended for %v", standstill)
		}
		if rings > 0 && time.Since(begun) >= duration {
			return nil
		}
		if time.Since(printed) > 10*time.Second {
			printed = time.Now()
			fmt.Fprintf(w, "%d rings, %d messages, %d kills\n", rings, messages, k.count())
		}
	}
}

// stop ends the daemon, which has half a minute.
func (d *daemon) stop() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.done:
	case <-time.After(time.Minute):
		_ = d.cmd.Process.Kill()
		<-d.done
		return fmt.Errorf("pg-bgwd did not stop within a minute")
	}
	return d.err
}

// verdict is what the log says about all of it.
func (d *daemon) verdict(w io.Writer, k *killer) error {
	rings, messages := d.log.progress()
	fmt.Fprintf(w, "in all: %d rings, %d messages, %d kills, %d times new memory after a crash\n", rings, messages, k.count(), d.log.renewals())
	if bad := d.log.wrong(); bad != "" {
		return fmt.Errorf("the log says: %s", bad)
	}
	if rings == 0 {
		return fmt.Errorf("no ring was ever finished")
	}
	return nil
}

// record is the daemon's log: a file, and what matters of it.
type record struct {
	mu       sync.Mutex
	file     *os.File
	rest     []byte // a line that is not whole
	rings    int
	messages int
	before   [2]int // the driver's counts in its last line
	renewed  int
	bad      string
}

var (
	progressLine = regexp.MustCompile(`stress: (\d+) rings, \d+ of them broken, (\d+) messages`)
	badLine      = regexp.MustCompile(`DATA RACE|AddressSanitizer|runtime error|LeakSanitizer|corrupt|deadline exceeded|panic: |fatal error|internal error|Traceback|Warning|damaged`)
)

// Write implements io.Writer.
func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest = append(r.rest, b...)
	for {
		line, rest, ok := bytes.Cut(r.rest, []byte("\n"))
		if !ok {
			break
		}
		r.line(string(line))
		r.rest = rest
	}
	return r.file.Write(b)
}

func (r *record) line(text string) {
	if m := progressLine.FindStringSubmatch(text); m != nil {
		rings, _ := strconv.Atoi(m[1])
		messages, _ := strconv.Atoi(m[2])
		if rings < r.before[0] {
			r.before = [2]int{} // another process of the driver
		}
		r.rings += rings - r.before[0]
		r.messages += messages - r.before[1]
		r.before = [2]int{rings, messages}
	}
	if strings.Contains(text, "segment renewed") {
		r.renewed++
	}
	if r.bad == "" && badLine.MatchString(text) {
		r.bad = text
	}
}

func (r *record) progress() (rings, messages int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rings, r.messages
}

func (r *record) wrong() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bad
}

func (r *record) renewals() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.renewed
}
