// Package shm is the shared memory of background workers.
package shm
