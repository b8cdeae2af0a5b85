package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/shm"
	"golang.org/x/sys/unix"
)

// scripted is the role "script": a worker that does what the words of
// TEST_SCRIPT say, one after the other.
//
//	attach detach      its segment, over the control socket
//	ready:TEXT         says so
//	ignore:SIGNAL      from now on
//	exit:CODE          at once, as _exit does
//	kill:SIGNAL        itself
//	exec:PROGRAM       in its place
//	touch:FILE         makes it
//	once:FILE          goes on only where FILE was not there, else waits
//	wait               for the end of the supervisor, then exits with 1
func scripted(ctx context.Context, w *shm.Worker) int {
	for word := range strings.FieldsSeq(os.Getenv("TEST_SCRIPT")) {
		verb, arg, _ := strings.Cut(word, ":")
		code, err := act(ctx, w, verb, arg)
		if err != nil {
			fmt.Println(word, "failed:", err)
			return 99
		}
		if code >= 0 {
			return code
		}
	}
	return 0
}

// act does one word. A code of 0 or more ends the script.
func act(ctx context.Context, w *shm.Worker, verb, arg string) (code int, err error) {
	number, _ := strconv.Atoi(arg)
	switch verb {
	case "attach":
		return -1, w.Attach(ctx)
	case "detach":
		return -1, w.Detach(ctx)
	case "ready":
		return -1, w.Ready(ctx, arg)
	case "ignore":
		signal.Ignore(unix.SignalNum("SIG" + arg))
		return -1, nil
	case "exit":
		return number, nil
	case "kill":
		// A default action of the kernel's, none of Go's runtime.
		signal.Reset()
		_ = syscall.Kill(os.Getpid(), unix.SignalNum("SIG"+arg))
		<-w.Done()
		return 98, nil
	case "exec":
		return -1, syscall.Exec(arg, []string{arg}, nil)
	case "touch":
		return -1, os.WriteFile(arg, nil, 0o644)
	case "once":
		if _, err := os.Stat(arg); err != nil {
			return -1, os.WriteFile(arg, nil, 0o644)
		}
		<-w.Done()
		return 1, nil
	case "wait":
		<-w.Done()
		return 1, nil
	}
	return -1, fmt.Errorf("unknown word")
}

// script is the definition of a worker that does words.
func script(name string, restart int32, words string) dbusapi.Definition {
	d := definition(name, restart, testProgram())
	d.Set |= dbusapi.KeyEnvironment
	d.Environment = map[string]string{"TEST_ROLE": "script", "TEST_SCRIPT": words}
	return d
}

// witness is a static worker that stays attached to main: a crash restarts it.
const witness = "witness"

func witnessFile() map[string]string {
	return map[string]string{"workers.d/10.hcl": attacher(witness, "main")}
}

// register registers d, owned by s.client, and does not wait.
func (s *supervisor) register(d dbusapi.Definition) dbusapi.Handle {
	s.t.Helper()
	h, err := s.client.RegisterDynamicBackgroundWorker(s.ctx(), d, 0)
	if err != nil {
		s.t.Fatalf("register %s: %v", d.Name, err)
	}
	return h
}

// info returns what the bus shows of h.
func (s *supervisor) info(h dbusapi.Handle) dbusapi.WorkerInfo {
	s.t.Helper()
	w, err := s.client.Worker(s.ctx(), h)
	if err != nil {
		s.t.Fatalf("worker %s: %v", h, err)
	}
	return w
}

// when waits for h to be as cond says, and returns it so.
func (s *supervisor) when(h dbusapi.Handle, what string, cond func(dbusapi.WorkerInfo) bool) dbusapi.WorkerInfo {
	s.t.Helper()
	var w dbusapi.WorkerInfo
	s.wait(fmt.Sprintf("%s %s", h, what), func() bool { w = s.info(h); return cond(w) })
	return w
}

// running waits until h runs.
func (s *supervisor) running(h dbusapi.Handle) dbusapi.WorkerInfo {
	s.t.Helper()
	return s.when(h, "running", func(w dbusapi.WorkerInfo) bool { return w.State == "running" })
}

// attached waits until the worker of that label runs and is attached.
func (s *supervisor) attached(label string) dbusapi.WorkerInfo {
	s.t.Helper()
	var w dbusapi.WorkerInfo
	s.poll(label+" attached", func() bool { w = s.worker(label); return w.State == "running" && w.Attached })
	return w
}

// exited waits for the first exit of h and returns what it then is.
func (s *supervisor) exited(h dbusapi.Handle) dbusapi.WorkerInfo {
	s.t.Helper()
	if st, err := s.client.WaitForBackgroundWorkerShutdown(s.ctx(), h); err != nil || st != dbusapi.StatusStopped {
		s.t.Fatalf("%s: %v, %v", h, st, err)
	}
	return s.info(h)
}

// content waits for a file that a worker writes, and returns its content.
func (s *supervisor) content(path string) string {
	s.t.Helper()
	var text string
	s.poll(filepath.Base(path), func() bool { text = readOr(path, ""); return strings.HasSuffix(text, "\n") })
	return strings.TrimSpace(text)
}

// kill ends pg-bgwd at once, without any of its own doing.
func (s *supervisor) kill() {
	s.t.Helper()
	_ = s.cmd.Process.Kill()
	s.exitCode()
	if s.client != nil {
		s.client.Close()
	}
}

// signal sends pg-bgwd a signal.
func (s *supervisor) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// asRoot skips a test that takes on other users.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("root is needed, to act as another user")
		}
		t.Skip("root is needed, to act as another user")
	}
}
