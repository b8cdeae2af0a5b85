package config

import (
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/pg-bgw/pg-bgw/units"
	"github.com/zclconf/go-cty/cty"
)

// restartTime leaves the range of the seconds to units.Worker.Validate, so
// that there is one message for all callers (BGW-006 to BGW-010).
func (v *value) restartTime(dst *units.RestartTime) {
	val, ok := v.literal()
	if !ok {
		return
	}
	if val.Type() == cty.Number {
		const remedy = `Use 0 to 86400000 seconds or "never".`
		n, ok := v.whole(remedy)
		switch {
		case !ok:
		case n.IsInt64() && n.Int64() >= math.MinInt32 && n.Int64() <= math.MaxInt32:
			*dst = units.RestartTime(n.Int64())
		default:
			v.wrong(fmt.Sprintf("invalid restart interval of %v seconds", n), remedy)
		}
		return
	}
	s, ok := v.text()
	if !ok {
		return
	}
	t, err := units.ParseRestartTime(s)
	if err != nil {
		remedy := sentence(err.Error())
		if w, ok := nearest(s, []string{"never"}); ok {
			remedy = fmt.Sprintf("Did you mean %q?", w)
		}
		v.wrong("not a restart interval", remedy)
		return
	}
	*dst = t
}

func (v *value) signal(dst *units.Signal) {
	s, ok := v.text()
	if !ok {
		return
	}
	sig, err := units.ParseSignal(s)
	if err != nil {
		v.wrong("not a signal", sentence(err.Error()))
		return
	}
	*dst = sig
}

func (v *value) extra(d *definition) {
	var s string
	if v.str(&s); s != "" {
		d.Extra = []byte(s)
	}
}

func (v *value) base64Extra(d *definition) {
	if _, both := v.place.fields["extra"]; both {
		v.wrong("extra is given as well", "Leave one of them out.")
		return
	}
	var b []byte
	if v.base64(&b); len(b) > units.MaxExtra { // BGW-018
		v.wrong(fmt.Sprintf("%d bytes do not fit", len(b)), fmt.Sprintf("Use at most %d.", units.MaxExtra))
	} else if len(b) > 0 {
		d.Extra = b
	}
}

// label reads the label of another block.
func (v *value) label(dst *string) {
	s, ok := v.text()
	if !ok {
		return
	}
	if !units.ValidLabel(s) {
		v.wrong(fmt.Sprintf("%q cannot be a label", s), "Use "+units.LabelForm+".")
		return
	}
	*dst = s
}

func (v *value) demotion(dst *units.Demotion) {
	stop := *dst == units.DemotionStop
	if v.boolean(&stop); stop {
		*dst = units.DemotionStop
	} else {
		*dst = units.DemotionKeep
	}
}

// userForm is what useradd(8) of Debian accepts.
var userForm = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)

func (v *value) user(dst *string) {
	s, ok := v.text()
	if !ok {
		return
	}
	own := v.d.options.User
	switch {
	case !userForm.MatchString(s):
		v.wrong(fmt.Sprintf("%q cannot be the name of a user", s), `Use a name, as in "postgres", not a number.`)
	case s != own && !v.d.options.MultiUser:
		problem := fmt.Sprintf("the daemon cannot start workers as %q", s)
		if own != "" {
			problem += fmt.Sprintf(", it runs as %q itself", own)
		}
		v.wrong(problem, "Leave it out, or install 10-multi-user.conf from pg-bgw's examples as a drop-in of pg-bgw.service.")
	default:
		*dst = s
	}
}

// identifier reads what the journal can show as the sender of a line.
func (v *value) identifier(dst *string) {
	s, ok := v.text()
	if !ok {
		return
	}
	if s == "" || len(s) > units.MaxName || !printable(s) || strings.ContainsAny(s, "/[]: ") {
		v.wrong(fmt.Sprintf("%q cannot be an identifier", s), fmt.Sprintf("Use 1 to %d characters without spaces, '/', ':' and brackets.", units.MaxName))
		return
	}
	*dst = s
}

func (v *value) pattern(dst *string) {
	s, ok := v.text()
	if !ok {
		return
	}
	if _, err := compilePattern(s); err != nil {
		v.wrong("not a regular expression", sentence(err.Error()))
		return
	}
	*dst = s
}

// sentence makes of an error's text what stands for itself.
func sentence(s string) string {
	s = strings.TrimSuffix(s, ".")
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}
