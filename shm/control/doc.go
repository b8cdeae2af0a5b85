// Package control is the language of the control socket: the SOCK_SEQPACKET
// socket that each worker process shares with the supervisor alone, and over
// which it attaches, detaches, says that it is ready, registers other workers,
// waits for them, terminates them, and asks for their latches and for dynamic
// segments.
//
// It turns records into bytes and back, and moves them over a descriptor. It
// holds no connection, keeps no state and decides nothing. Its callers are the
// supervisor and package shm; the C and Python libraries implement the same
// description against the same vectors in testdata.
//
// # Records
//
// One record is one packet. All integers are little-endian, nothing is padded.
//
//	offset  type  field
//	0       u32   length of the whole record, header included; 16 to 65,536
//	4       u16   version, 1
//	6       u16   type
//	8       u64   request id
//	16            body, by type
//
// Who sends what:
//
//   - A request goes from worker to supervisor. Its id is the worker's choice; it
//     is not 0 and not that of a request still without its answer.
//   - An answer goes back with the same id and the request's type with bit 15
//     set. Answers come in any order: a wait is answered when it is over, at the
//     latest after 20 s, and delays nothing behind it.
//   - An event goes from supervisor to worker unasked, has bit 14 set and id 0.
//
// Building blocks of bodies:
//
//	text     u32 length, then so many bytes of UTF-8 without NUL
//	handle   u32 slot, u64 generation
//	pair     u16 key length (1 to 64), key, u8 kind, value
//	value    kind 1: text
//	         kind 2: u64
//	         kind 3: i64
//	         kind 4: u32 length, bytes
//	         kind 5: u16 count (at most 1,024), so many texts
//
// Requests, and what an answer with status 0 carries after its status:
//
//	type  name           body                                 result
//	1     Hello          text: library and its version         text: the supervisor's version
//	2     Attach         -                                     -
//	3     Detach         -                                     -
//	4     Ready          text: status, at most 1,024 bytes     -
//	5     Register       u64 flags, u16 count, so many pairs   handle
//	6     GetPid         handle                                u32 status, i32 pid
//	7     WaitStartup    handle, u64 timeout in microseconds   u32 status, i32 pid
//	8     WaitShutdown   handle, u64 timeout in microseconds   u32 status, i32 pid
//	9     Terminate      handle                                -
//	10    Latch          u32 slot                              - (an eventfd comes with the record)
//	11    DynamicCreate  u64 size                              dynamic (its memfd comes with the record)
//	12    DynamicAttach  u32 segment                           dynamic (the same)
//	13    DynamicDetach  u32 segment                           -
//	14    DynamicPin     u32 segment                           -
//	15    DynamicUnpin   u32 segment                           -
//	16    DynamicNamed   u64 size, text: name                  dynamic (the same)
//	17    DynamicReady   u32 segment, u32 done                 -
//
// Each answer's body begins with an i32: 0, or a negative errno. With an errno
// a text follows that tells a person the reason, and nothing else. So an answer
// to an unknown type can be read by everybody.
//
// The one event:
//
//	0x4001  WorkerStateChanged  handle, u64 start number, u32 state, u32 status, i32 pid,
//	                            i32 exit code, i32 exit signal, text: reason
//
// Register has at most 64 pairs, no key twice, with the key names of the bus
// interface (Name, Flags, Command, ...; see the Key constants) and at most 64
// bytes of a key. Lists of strings are kind 5, Environment a list of
// NAME=value, RestartTime an i64 in seconds, MainArg, NotifyPid,
// KillTimeoutUSec and StopWithOwner (0 or 1) u64, Extra bytes, all others text.
// Its flags: bit 0 asks for SIGUSR1 to the registrant beside its latch.
//
// # Dynamic segments
//
// A dynamic is u32 segment, u64 size, u32 found; found, and done, are 0 or 1. A
// dynamic segment is named by its handle, an even number that is not 0. It
// belongs to the segment that its maker is attached to, and goes with it in a
// crash; only processes attached to that segment can ask for it. It lasts while
// it is pinned or a process has it, from the answer to Create, Attach or Named
// until DynamicDetach, Detach or its end.
//
// Named finds or makes the one of that name, 1 to 63 bytes. Who is answered with
// found 0 has made it, fills it, and says DynamicReady, with done 1, which pins
// it, or 0, which removes it. All others are answered after that, with found 1;
// or, if it was removed or its maker has ended, one of them with found 0. An
// EBUSY, after 20 s, says that it is still being filled.
//
// Statuses are PostgreSQL's BgwHandleStatus: 0 started, 1 not yet started, 2
// stopped, 3 the supervisor died. States are those of the slot table, see
// package shm.
//
// # Errors in answers
//
//	EINVAL           the definition is wrong; the reason names the key
//	EAGAIN           no free slot
//	EDQUOT           a quota is used up, or a limit on dynamic segments
//	ESHUTDOWN        the supervisor is shutting down
//	EPERM            policy does not allow it
//	ESTALE           Attach: the segment was renewed after a crash
//	ENODEV           Attach: this worker has no segment
//	ENOENT           no such slot; no such dynamic segment, or not this process's
//	ENOTCONN         a dynamic segment: this process is not attached
//	EEXIST           DynamicAttach: it has it already; DynamicPin: pinned already
//	ENOMEM           there is not so much memory
//	EBUSY            DynamicNamed: not filled yet
//	EMLINK           too many waits at once
//	EOPNOTSUPP       not possible on this system
//	ENOSYS           unknown request type
//	EPROTONOSUPPORT  unknown version
//
// A terminate or a wait on a handle that names nothing any more is no error:
// its worker is stopped (BGW-032 to BGW-034).
//
// # Vectors
//
// Each testdata/*.hex is one record in hexadecimal, after a comment line with
// its fields as JSON. Each testdata/bad/*.hex is a record that has to be
// refused, after a comment line that says why. Comment lines begin with a
// number sign.
//
// # Versions
//
// The header stays as it is in all versions. A new type does not change the
// version; who does not know it answers ENOSYS. A changed body does.
package control
