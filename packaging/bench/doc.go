// Command bench measures pg-bgw beside its peers on one machine, in one run:
// PostgreSQL's own background workers, runit, s6 and systemd where they are
// installed, and csup, a minimal supervisor in C, as the floor.
//
//	bench card                  the machine's own costs
//	bench peers                 who can be measured here, and why not the others
//	bench lifecycle [flags]     start, restart, crash, stop, memory, idle cost
//	bench shm [flags]           message queues and latches
//	bench server [flags]        what a server does, to what its workers do
//	bench modules [flags]       workers of one library, inside of PostgreSQL and not
//
// Every supervisor starts the same worker (c/worker.c), which writes the time
// of its first instruction into a file that all of them map, the ledger
// (c/ledger.h). PostgreSQL's worker writes the same ledger (c/pgext.c).
//
// Peers are measured in turn within each round, so that a machine that slows
// down slows all of them. A ratio is taken inside a round, and what is printed
// is the median of the rounds' ratios. Figures are printed and never asserted:
// the exit status says only whether the measurement could be done.
//
// It never touches the installed system: everything runs in scratch
// directories, under processes of its own that end with it, on Ctrl-C as well.
// What a run that was killed has left behind, the next one clears away.
// packaging/dev calls it through the script run in this directory.
package main
