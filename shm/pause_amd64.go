package shm

// pause tells the CPU that this is a loop that looks for a change: about 40 ns.
func pause()
