package shm

const barrierHeaderSize = 32
