package shm

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// BackgroundWorker is what this process was registered as, in PostgreSQL's
// words (MyBgworkerEntry).
type BackgroundWorker struct {
	Name      string
	Type      string
	MainArg   uint64
	Extra     []byte // at most MaxExtra bytes
	NotifyPid int    // process that is told of start and exit; 0: nobody
	Handle    Handle
	Start     uint64 // start number of this process; 0: not known
}

// environment is what the supervisor says in the PGBGW_ variables.
type environment struct {
	fds  map[string]int
	self BackgroundWorker
}

// parseEnvironment reads the PGBGW_ variables; lookup is os.LookupEnv. All
// mistakes are reported at once, each with its variable.
func parseEnvironment(lookup func(string) (string, bool)) (environment, error) {
	list, ok := lookup("PGBGW_FDS")
	if !ok {
		return environment{}, ErrNotWorker
	}
	p := parser{lookup: lookup}
	e := environment{fds: p.fds(list)}
	s := &e.self
	s.Handle.Slot = uint32(p.number("PGBGW_SLOT", MaxSlots-1, true))
	s.Handle.Generation = p.number("PGBGW_GENERATION", 1<<64-1, true)
	s.Name = p.text("PGBGW_NAME", true)
	s.Type = p.text("PGBGW_TYPE", false)
	if s.Type == "" {
		s.Type = s.Name
	}
	s.MainArg = p.number("PGBGW_MAIN_ARG", 1<<64-1, false)
	s.NotifyPid = int(p.number("PGBGW_NOTIFY_PID", 1<<31-1, false))
	s.Extra = p.extra()
	s.Start = p.start(s.Handle)
	if err := errors.Join(p.errs...); err != nil {
		return environment{}, fmt.Errorf("cannot read the supervisor's environment: %w", err)
	}
	return e, nil
}

type parser struct {
	lookup func(string) (string, bool)
	errs   []error
}

func (p *parser) fail(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

// fds reads "segment:3,slots:4"; unknown names are left to who knows them.
func (p *parser) fds(list string) map[string]int {
	fds := make(map[string]int)
	if list == "" {
		return fds
	}
	seen := make(map[int]string)
	for _, item := range strings.Split(list, ",") {
		name, number, ok := strings.Cut(item, ":")
		fd, err := strconv.ParseUint(number, 10, 31)
		switch {
		case !ok || name == "" || err != nil || fd < 3 || strconv.FormatUint(fd, 10) != number:
			p.fail("PGBGW_FDS: %q should be a name, a colon and a descriptor from 3 on, as in segment:3", item)
			continue
		case fds[name] != 0:
			p.fail("PGBGW_FDS: %q is there twice", name)
			continue
		case seen[int(fd)] != "":
			p.fail("PGBGW_FDS: descriptor %d is both %q and %q", fd, seen[int(fd)], name)
			continue
		}
		fds[name], seen[int(fd)] = int(fd), name
	}
	return fds
}

func (p *parser) number(name string, most uint64, required bool) uint64 {
	s, ok := p.lookup(name)
	if !ok || s == "" {
		if required {
			p.fail("%s is not set", name)
		}
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > most {
		p.fail("%s: %q should be a decimal number from 0 to %d", name, s, most)
		return 0
	}
	return n
}

func (p *parser) text(name string, required bool) string {
	s, _ := p.lookup(name)
	if s == "" && required {
		p.fail("%s is not set", name)
	}
	if len(s) > MaxName {
		p.fail("%s has %d bytes, at most %d are allowed", name, len(s), MaxName)
	}
	return s
}

func (p *parser) extra() []byte {
	s, _ := p.lookup("PGBGW_EXTRA")
	if s == "" {
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) > MaxExtra {
		p.fail("PGBGW_EXTRA: %.40q should be base64 of at most %d bytes", s, MaxExtra)
		return nil
	}
	return b
}

// start reads the start number, from "3.17.2" (slot, generation, start) or "2".
func (p *parser) start(h Handle) uint64 {
	s, _ := p.lookup("PGBGW_START")
	if s == "" {
		return 0
	}
	number := s
	if i := strings.LastIndexByte(s, '.'); i >= 0 {
		if s[:i] != fmt.Sprintf("%d.%d", h.Slot, h.Generation) {
			p.fail("PGBGW_START: %q is not of slot %d, generation %d", s, h.Slot, h.Generation)
			return 0
		}
		number = s[i+1:]
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		p.fail("PGBGW_START: %q should be slot.generation.start, as in 3.17.2", s)
	}
	return n
}
