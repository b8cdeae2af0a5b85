package shm

const (
	conditionHeaderSize = 32
	conditionPlaceSize  = 16
)
