package shm

import "sync"

// streamLines copies n bytes, a multiple of 64, to a multiple of 64, past the
// caches: other stores may overtake these.
//
//go:noescape
func streamLines(to, from *byte, n int)

// streamed returns when what was streamed is there for all to see.
func streamed()

// cycles is the CPU's clock.
func cycles() uint64

// vendor is the first part of the name of who made the CPU.
func vendor() uint32

// streams reports whether to try to stream: on the CPUs of AMD, where it was
// measured (Zen 4) that a store to a line which another core has read takes 8 ns,
// and 30 ns where that core has another cache, and streaming one 1 to 2 ns.
var streams = sync.OnceValue(func() bool { return vendor() == 0x68747541 }) // "Auth"enticAMD
