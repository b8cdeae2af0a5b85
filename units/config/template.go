package config

import (
	"errors"
	"regexp"

	"github.com/pg-bgw/pg-bgw/units"
)

// MaxArgument is how long the argument of an instance may be, in bytes.
const MaxArgument = 128

// A Template is a definition that runs nothing until it is given an argument.
// The argument replaces "%i" in the name, the type, the elements of the
// command after the first, the values of the environment and the connection's
// database; "%%" is a percent sign there.
type Template struct {
	Label string

	definition units.Worker   // defaults not applied, specifiers not replaced
	pattern    *regexp.Regexp // what the whole argument must match; nil: anything harmless
}

// Instantiate returns the definition that the template makes of argument, with
// defaults applied and valid, and with an empty Label, as dynamic workers have.
func (t *Template) Instantiate(argument string) (units.Worker, error) {
	return units.Worker{}, errors.New("not implemented")
}
