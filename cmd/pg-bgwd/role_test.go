package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/pg-bgw/pg-bgw/shm"
)

// role is what this test program does as a worker of a test.
func role(r string) int {
	if f, ok := bareRoles[r]; ok {
		return f()
	}
	ctx := context.Background()
	w, err := shm.Open()
	if err != nil {
		fmt.Println("open:", err)
		return 3
	}
	switch r {
	case "attach": // attaches and waits for the end of the supervisor
		return attached(ctx, w)
	case "leave": // the same, and at SIGTERM detaches
		asked, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
		defer stop()
		if code := attach(ctx, w); code != 0 {
			return code
		}
		select {
		case <-w.Done():
			return 1
		case <-asked.Done():
		}
		if err := w.Close(); err != nil {
			fmt.Println("close:", err)
			return 1
		}
		return 0
	case "furnish": // puts one of each into its segment, and holds a lock
		return furnish(ctx, w)
	case "script":
		return scripted(ctx, w)
	case "parent": // registers a child and reports what it hears of it
		return parent(ctx, w)
	case "connector": // registers what its flags do not allow
		return connector(ctx, w)
	case "garbage": // speaks another language
		_, _ = syscall.Write(5, []byte("this is no record"))
		<-w.Done()
		return 0
	}
	fmt.Println("unknown role", r)
	return 3
}

func attached(ctx context.Context, w *shm.Worker) int {
	if code := attach(ctx, w); code != 0 {
		return code
	}
	<-w.Done()
	return 1
}

func attach(ctx context.Context, w *shm.Worker) int {
	if err := w.Attach(ctx); err != nil {
		fmt.Println("attach:", err)
		return 1
	}
	area, found, err := w.Area("counter", 8)
	if err != nil {
		fmt.Println("area:", err)
		return 1
	}
	area[0]++
	if err := w.Ready(ctx, strings.Repeat("x", 1025)); err == nil {
		fmt.Println("too long a text is accepted")
		return 1
	}
	if err := w.Ready(ctx, fmt.Sprintf("found %v count %d", found, area[0])); err != nil {
		fmt.Println("ready:", err)
		return 1
	}
	return 0
}

func parent(ctx context.Context, w *shm.Worker) int {
	h, err := w.Register(ctx, shm.Definition{
		Name: "child", Flags: []string{"shmem_access"}, RestartTime: shm.NeverRestart,
		Command: []string{"/bin/sleep", "1000"},
	})
	if err != nil {
		fmt.Println("register:", err)
		return 1
	}
	status, pid, err := w.WaitStartup(ctx, h)
	fmt.Println("child", status, pid > 0, err)
	for c := range w.Changes() {
		fmt.Println("change", c.State, c.Status)
		if c.Status == shm.StatusStopped {
			fmt.Println("latch", w.Latch().IsSet())
			_ = w.Ready(ctx, "child is gone")
			<-w.Done()
			return 0
		}
	}
	return 1
}

// testProgram is the command of a worker with a role.
func testProgram() string {
	p, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return p
}

func connector(ctx context.Context, w *shm.Worker) int {
	var said []string
	for _, d := range []shm.Definition{{Database: "d"}, {Role: "r"}, {Role: strings.Repeat("x", 64), Flags: []string{"backend_database_connection"}}} {
		d.Name, d.RestartTime, d.StartTime, d.Command = "child", shm.NeverRestart, "recovery_finished", []string{"/bin/sleep", "1000"}
		d.Flags = append(d.Flags, "shmem_access")
		_, err := w.Register(ctx, d)
		said = append(said, fmt.Sprint(err))
	}
	fmt.Println("told:", strings.Join(said, "|"))
	<-w.Done()
	return 0
}
