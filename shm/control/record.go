package control

import (
	"fmt"
	"syscall"
)

// Fixed numbers of the format; see the package documentation.
const (
	Version    = 1        // of the format
	HeaderSize = 16       // bytes before the body
	MaxRecord  = 64 << 10 // bytes of a whole record
	MaxKey     = 64       // bytes of a key of a pair
	MaxPairs   = 64       // pairs of a Register
	MaxList    = 1024     // texts in a list
	MaxDynamic = 63       // bytes of a dynamic segment's name
)

// Type says what a record is. A request is below 0x4000.
type Type uint16

// The requests.
const (
	Hello Type = 1 + iota
	Attach
	Detach
	Ready
	Register
	GetPid
	WaitStartup
	WaitShutdown
	Terminate
	Latch
	DynamicCreate
	DynamicAttach
	DynamicDetach
	DynamicPin
	DynamicUnpin
	DynamicNamed
	DynamicReady
)

// WorkerStateChanged is the event that tells a worker about one it registered.
const WorkerStateChanged Type = eventBit | 1

const (
	answerBit Type = 0x8000
	eventBit  Type = 0x4000
)

// Answer is the type of the answer to request t.
func (t Type) Answer() Type { return t | answerBit }

// IsAnswer reports whether t answers a request.
func (t Type) IsAnswer() bool { return t&answerBit != 0 }

// IsEvent reports whether t is an event.
func (t Type) IsEvent() bool { return t&(answerBit|eventBit) == eventBit }

// Request is the request that t answers; t itself where t is no answer.
func (t Type) Request() Type { return t &^ answerBit }

var typeNames = [...]string{
	Hello: "Hello", Attach: "Attach", Detach: "Detach", Ready: "Ready", Register: "Register", GetPid: "GetPid",
	WaitStartup: "WaitStartup", WaitShutdown: "WaitShutdown", Terminate: "Terminate", Latch: "Latch",
	DynamicCreate: "DynamicCreate", DynamicAttach: "DynamicAttach", DynamicDetach: "DynamicDetach", DynamicPin: "DynamicPin",
	DynamicUnpin: "DynamicUnpin", DynamicNamed: "DynamicNamed", DynamicReady: "DynamicReady",
}

// String is the type's name, "answer to Attach" or "type 0x0077".
func (t Type) String() string {
	switch {
	case t == WorkerStateChanged:
		return "WorkerStateChanged"
	case t.IsAnswer():
		return "answer to " + t.Request().String()
	case t != 0 && int(t) < len(typeNames):
		return typeNames[t]
	}
	return fmt.Sprintf("type 0x%04x", uint16(t))
}

// Handle names one registration: a slot and the generation that it had then.
type Handle struct {
	Slot       uint32
	Generation uint64
}

// The keys of a Register record are those of the bus interface.
const (
	KeyName          = "Name"
	KeyType          = "Type"
	KeyFlags         = "Flags"
	KeyStartTime     = "StartTime"
	KeyRestartTime   = "RestartTime"
	KeyLibraryName   = "LibraryName"
	KeyFunctionName  = "FunctionName"
	KeyCommand       = "Command"
	KeyMainArg       = "MainArg"
	KeyExtra         = "Extra"
	KeyNotifyPid     = "NotifyPid"
	KeyDatabase      = "Database"
	KeyRole          = "Role"
	KeyEnvironment   = "Environment"
	KeySegment       = "Segment"
	KeyKillSignal    = "KillSignal"
	KeyKillTimeout   = "KillTimeoutUSec"
	KeyStopWithOwner = "StopWithOwner"
	KeyServer        = "Server"
)

// RegisterSignal is the flag of Register that asks for SIGUSR1 to the
// registrant.
const RegisterSignal uint64 = 1 << 0

// Pair is one field of a definition. Value is a string, uint64, int64, []byte
// or []string; nothing else can be encoded, and nothing else is decoded.
type Pair struct {
	Key   string
	Value any
}

// Record is a record of any type; which fields count depends on Type:
//
//	all                       Type, ID
//	answers                   Errno; with one, Text is the reason and no other field counts
//	Hello and its answer      Text
//	Ready                     Text
//	Register                  Flags, Pairs; its answer: Handle
//	GetPid, Terminate         Handle
//	WaitStartup, WaitShutdown Handle, TimeoutUSec
//	answers to these three    Status, Pid (not Terminate)
//	Latch                     Slot
//	DynamicCreate             Size
//	DynamicNamed              Size, Text
//	answers to these and DynamicAttach  Segment, Size, Found
//	DynamicAttach, -Detach, -Pin, -Unpin  Segment
//	DynamicReady              Segment, Done
//	WorkerStateChanged        Handle, Start, State, Status, Pid, ExitCode, ExitSignal, Text
//
// The zero Record is not valid. A Record owns all it points to; Decode copies.
type Record struct {
	Type        Type
	ID          uint64
	Errno       syscall.Errno // 0 or 1 to 4095; negative on the wire
	Text        string
	Handle      Handle
	Slot        uint32
	Segment     uint32 // handle of a dynamic segment
	Size        uint64 // bytes of it
	Found       bool   // it was there
	Done        bool   // it is filled
	TimeoutUSec uint64
	Flags       uint64
	Pairs       []Pair
	Start       uint64
	State       uint32
	Status      uint32
	Pid         int32
	ExitCode    int32 // -1: none
	ExitSignal  int32 // 0: none
}

// Refuse is the answer to r with an errno (not 0) and the reason, whatever r's
// type.
func (r *Record) Refuse(errno syscall.Errno, reason string) Record {
	return Record{Type: r.Type.Answer(), ID: r.ID, Errno: errno, Text: reason}
}

// Accept is the answer to r with status 0, for the caller to fill in.
func (r *Record) Accept() Record {
	return Record{Type: r.Type.Answer(), ID: r.ID}
}
