package launch

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"syscall"
)

// The launcher's protocol. The C side, with the layout, is
// cmd/pg-bgw-launcher/protocol.h; both are built from one tree and installed
// together.
const (
	magic       = 0x31424750
	headSize    = 48
	reportSize  = 8
	requestMax  = 128 * 1024
	filesMax    = 240
	pointersMax = 16384
	groupsMax   = 1024
	rlimitsMax  = 64
	noFile      = 0xffff

	flagCgroup          = 1
	flagCredential      = 2
	flagNoNewPrivs      = 4
	flagReadOnlyCgroups = 8
	flagCopy            = 16
	flagModule          = 32
)

var order = binary.NativeEndian

// marker is the environment variable that every process of a worker inherits.
const marker = "PGBGW_START"

// encode returns the request for s and the descriptors that go with it after
// the status pipe and the cgroup. s has been checked.
func encode(s *Spec, cgroup bool) (packet []byte, files []int, err error) {
	targets, files := targets(s.Files)
	b := make([]byte, headSize, headSize+1024)
	for _, l := range s.Rlimits {
		b = order.AppendUint32(b, uint32(l.Resource))
		b = order.AppendUint32(b, 0)
		b = order.AppendUint64(b, l.Soft)
		b = order.AppendUint64(b, l.Hard)
	}
	cred := credential(s)
	for _, g := range cred.Groups {
		b = order.AppendUint32(b, g)
	}
	for _, t := range targets {
		b = order.AppendUint16(b, t)
	}
	b = appendString(b, dir(s))
	argv := s.Argv
	if s.Main != nil {
		argv = s.Main.argv()
	}
	for _, v := range argv {
		b = appendString(b, v)
	}
	b, variables := appendEnvironment(b, s)
	if len(b) > requestMax {
		return nil, nil, &SpecError{ID: s.ID, Field: "Env", Why: fmt.Sprintf(
			"arguments, environment and groups take %d bytes; at most %d are possible, pass more in a file", len(b), requestMax)}
	}
	putHead(b, s, cred, flags(s, cgroup), [...]int{len(argv), variables, len(files), len(targets)})
	return b, files, nil
}

func putHead(b []byte, s *Spec, cred Credential, flags uint32, counts [4]int) {
	umask := uint32(0o077)
	if s.Umask != nil {
		umask = *s.Umask
	}
	order.PutUint32(b[0:], magic)
	order.PutUint32(b[4:], uint32(len(b)))
	order.PutUint32(b[8:], flags)
	order.PutUint32(b[12:], umask)
	order.PutUint32(b[16:], uint32(int32(s.OOMScoreAdj)))
	order.PutUint32(b[20:], uint32(int32(s.Nice)))
	order.PutUint32(b[24:], cred.UID)
	order.PutUint32(b[28:], cred.GID)
	order.PutUint32(b[32:], uint32(counts[0]))
	order.PutUint32(b[36:], uint32(counts[1]))
	order.PutUint16(b[40:], uint16(counts[2]))
	order.PutUint16(b[42:], uint16(counts[3]))
	order.PutUint16(b[44:], uint16(len(cred.Groups)))
	order.PutUint16(b[46:], uint16(len(s.Rlimits)))
}

func appendString(b []byte, s string) []byte { return append(append(b, s...), 0) }

func dir(s *Spec) string {
	if s.Dir == "" {
		return "/"
	}
	return s.Dir
}

func credential(s *Spec) Credential {
	if s.Credential == nil {
		return Credential{}
	}
	return *s.Credential
}

func flags(s *Spec, cgroup bool) (f uint32) {
	for _, v := range [...]struct {
		on  bool
		bit uint32
	}{
		{cgroup, flagCgroup},
		{s.Credential != nil, flagCredential},
		{s.NoNewPrivileges, flagNoNewPrivs},
		{s.ReadOnlyCgroups, flagReadOnlyCgroups},
		{limitsMemory(s), flagCopy},
		{s.Main != nil, flagModule},
	} {
		if v.on {
			f |= v.bit
		}
	}
	return f
}

// limitsMemory says whether the kernel may kill a child of s for want of memory
// before it has memory of its own, and with it whoever it shares the launcher's
// with: the launcher, and children whose programs are slow to execute.
func limitsMemory(s *Spec) bool {
	for name := range s.Limits {
		if controllerOf(name) == "memory" {
			return true
		}
	}
	return false
}

// appendEnvironment appends s.Env with the marker in place of any that is there, and
// returns how many variables that is.
func appendEnvironment(b []byte, s *Spec) (packet []byte, n int) {
	for _, v := range s.Env {
		if !strings.HasPrefix(v, marker+"=") {
			b = appendString(b, v)
			n++
		}
	}
	return appendString(b, marker+"="+s.ID), n + 1
}

// targets returns the descriptors to send, each once, and for every descriptor
// of the worker which of them it is.
func targets(files []int) (targets []uint16, send []int) {
	targets, send = make([]uint16, len(files)), make([]int, 0, len(files))
	for i, fd := range files {
		at := slices.Index(send, fd)
		switch {
		case fd == -1:
			at = noFile
		case at < 0:
			at = len(send)
			send = append(send, fd)
		}
		targets[i] = uint16(at)
	}
	return targets, send
}

// ping returns a packet that every launcher refuses with StepRequest.
func ping() []byte {
	b := make([]byte, headSize)
	order.PutUint32(b, magic)
	return b
}

// decodeReports reads what came through a status pipe until its end. pid 0: no
// child was made; step StepNone: no step failed.
func decodeReports(b []byte) (pid int, step Step, errno syscall.Errno) {
	for ; len(b) >= reportSize; b = b[reportSize:] {
		value := int32(order.Uint32(b[4:]))
		if s := Step(order.Uint32(b)); s != StepNone {
			return pid, s, syscall.Errno(value)
		}
		pid = int(value)
	}
	return pid, StepNone, 0
}
