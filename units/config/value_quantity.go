package config

import (
	"fmt"
	"strconv"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
	"github.com/zclconf/go-cty/cty"
)

// written is v as a time or a size is written: a string as it is, a number as
// its decimal digits.
func (v *value) written() (string, bool) {
	val, ok := v.literal()
	if !ok {
		return "", false
	}
	switch val.Type() {
	case cty.String:
		return val.AsString(), true
	case cty.Number:
		f, _ := val.AsBigFloat().Float64()
		return strconv.FormatFloat(f, 'f', -1, 64), true
	}
	v.wrong("neither a number nor a text", "Write it as in 10 or \"10s\".")
	return "", false
}

// duration reads a time of at least lo; at most hi, or "infinity" if hi is
// units.Infinity.
func (v *value) duration(dst *time.Duration, lo, hi time.Duration) {
	s, ok := v.written()
	if !ok {
		return
	}
	t, err := units.ParseDuration(s)
	if err != nil {
		v.wrong("not a time", sentence(err.Error()))
		return
	}
	if t < lo || t > hi {
		v.wrong(fmt.Sprintf("%q is out of range", s), fmt.Sprintf("Use %s to %s.", timeText(lo), timeText(hi)))
		return
	}
	*dst = t
}

// timeText writes a time in the largest unit that divides it.
func timeText(t time.Duration) string {
	if t == units.Infinity {
		return `"infinity"`
	}
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if t >= u.unit && t%u.unit == 0 {
			return fmt.Sprintf(`"%d%s"`, t/u.unit, u.name)
		}
	}
	return strconv.Quote(t.String())
}

// size reads a number of bytes from lo to hi.
func (v *value) size(dst *uint64, lo, hi uint64) {
	s, ok := v.written()
	if !ok {
		return
	}
	n, err := units.ParseSize(s)
	if err != nil {
		v.wrong("not a size", sentence(err.Error()))
		return
	}
	if n < lo || n > hi {
		v.wrong(fmt.Sprintf("%q is out of range", s), fmt.Sprintf("Use %s to %s.", sizeText(lo), sizeText(hi)))
		return
	}
	*dst = n
}

// sizeText writes a size in the largest unit that divides it.
func sizeText(n uint64) string {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if shift := 40 - 10*i; n >= 1<<shift && n%(1<<shift) == 0 {
			return fmt.Sprintf(`"%d%s"`, n>>shift, unit)
		}
	}
	return strconv.FormatUint(n, 10)
}

// unlimited reports whether v is a word for "no limit".
func (v *value) unlimited() bool {
	if !isLiteral(v.expr) {
		return false
	}
	val, _ := v.expr.Value(nil)
	return val.IsKnown() && !val.IsNull() && val.Type() == cty.String && (val.AsString() == "max" || val.AsString() == "infinity")
}
