package shm

// barrierState is the state's word in its parts.
type barrierState struct {
	phase                 uint32
	participants, arrived uint64
	elected, static       bool
}

func parseBarrier(w uint64) barrierState {
	return barrierState{
		uint32(w), w >> barrierParticipants & barrierMask, w >> barrierArrived & barrierMask,
		w&barrierElected != 0, w&barrierStatic != 0,
	}
}

func (s barrierState) word() uint64 {
	w := uint64(s.phase) | s.participants&barrierMask<<barrierParticipants | s.arrived&barrierMask<<barrierArrived
	if s.elected {
		w |= barrierElected
	}
	if s.static {
		w |= barrierStatic
	}
	return w
}

// advance begins the next phase.
func (s *barrierState) advance(elected bool) {
	s.phase++
	s.arrived, s.elected = 0, elected
}
