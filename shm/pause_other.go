//go:build !amd64

package shm

// pause is nothing where no instruction for it is known.
func pause() {}
