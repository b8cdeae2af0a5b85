// Command stress tries shared memory for a long time: rings of queues with
// members in Go (with the race detector), C (with the address and undefined
// behaviour sanitizers) and Python, of random shape and size, in a pg-bgwd of
// its own, while its processes are killed at random.
//
//	stress shm [-minutes 30] [-no-kills]
//
// It fails when a message is lost, doubled or changed, when a ring stands still,
// when a sanitizer has something to say, and when pg-bgwd or the segment does
// not get over a kill. It prints the progress and, at the end, what was seen.
//
// It touches nothing of the installed system, and all that it starts ends with
// it. packaging/dev calls it.
package main
