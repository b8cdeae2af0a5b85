package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pg-bgw/pg-bgw/units"
)

// Bounds of a template's argument and of its pattern, in bytes.
const (
	MaxArgument = 128
	maxPattern  = 1024
)

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
// An error says what is wrong with the argument, or is [units.Faults] where it
// makes a field of the definition invalid; it does not name the template.
func (t *Template) Instantiate(argument string) (units.Worker, error) {
	if err := t.checkArgument(argument); err != nil {
		return units.Worker{}, err
	}
	w, err := substitute(t.definition, argument)
	if err != nil {
		return units.Worker{}, err
	}
	w = w.WithDefaults()
	w.Label = ""
	if fs := w.Validate(); fs != nil {
		return units.Worker{}, fs
	}
	return w, nil
}

// Fixed returns the definition with its defaults, for what does not depend on
// the argument, and whether its connection does not: neither the block nor a
// variable of the environment. Text that holds the argument means nothing.
func (t *Template) Fixed() (units.Worker, bool) {
	w, err1 := substitute(t.definition, "x")
	other, err2 := substitute(t.definition, "y")
	if err1 != nil || err2 != nil { // impossible: it was read
		return units.Worker{}, false
	}
	same := w.Connection == other.Connection || *w.Connection == *other.Connection
	w = w.WithDefaults()
	w.Label = t.Label
	return w, same && maps.Equal(w.Environment, other.Environment)
}

// checkArgument holds off what a program could take for something else than
// data. The pattern is the administrator's word on what is data.
func (t *Template) checkArgument(argument string) error {
	switch {
	case len(argument) > MaxArgument:
		return fmt.Errorf("the argument has %d bytes; use at most %d", len(argument), MaxArgument)
	case !utf8.ValidString(argument):
		return errors.New("the argument is not UTF-8")
	case strings.ContainsFunc(argument, unicode.IsControl):
		return fmt.Errorf("the argument %q has control characters", argument)
	case t.pattern != nil && !t.pattern.MatchString(argument):
		return fmt.Errorf("the argument %q does not match the template's argument_pattern", argument)
	case t.pattern == nil && argument == "":
		return errors.New("the argument is empty")
	case t.pattern == nil && argument[0] == '-':
		return fmt.Errorf("the argument %q could be taken for an option; only a template with an argument_pattern can allow that", argument)
	}
	return nil
}

// compilePattern anchors a pattern at both ends.
func compilePattern(s string) (*regexp.Regexp, error) {
	if len(s) > maxPattern {
		return nil, fmt.Errorf("it is longer than %d bytes", maxPattern)
	}
	if _, err := regexp.Compile(s); err != nil { // by itself: ")(" is none
		return nil, err
	}
	return regexp.Compile(`\A(?:` + s + `)\z`)
}

// A specifierError is a text in which a percent sign stands for nothing.
type specifierError struct {
	field, text string
}

func (e *specifierError) Error() string {
	return fmt.Sprintf("%s: %q has a percent sign that stands for nothing", e.field, e.text)
}

// substitute returns a copy of w with argument in place of "%i". The error is
// a *specifierError.
func substitute(w units.Worker, argument string) (units.Worker, error) {
	var bad *specifierError
	expand := func(field, s string) string {
		text, ok := expandSpecifiers(s, argument)
		if !ok && bad == nil {
			bad = &specifierError{field, s}
		}
		return text
	}
	w.Name, w.Type = expand("name", w.Name), expand("type", w.Type)
	w.Command = slices.Clone(w.Command)
	for i := 1; i < len(w.Command); i++ {
		w.Command[i] = expand("command", w.Command[i])
	}
	w.Environment = maps.Clone(w.Environment)
	for _, k := range slices.Sorted(maps.Keys(w.Environment)) {
		w.Environment[k] = expand("environment", w.Environment[k])
	}
	if w.Connection != nil {
		c := *w.Connection
		c.Database = expand("connection.database", c.Database)
		w.Connection = &c
	}
	if bad != nil {
		return units.Worker{}, bad
	}
	return w, nil
}

// expandSpecifiers reports false where a percent sign is followed by neither
// "i" nor another one.
func expandSpecifiers(s, argument string) (string, bool) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "%")
		b.WriteString(before)
		switch {
		case !found:
			return b.String(), true
		case strings.HasPrefix(after, "i"):
			b.WriteString(argument)
		case strings.HasPrefix(after, "%"):
			b.WriteByte('%')
		default:
			return "", false
		}
		s = after[1:]
	}
}
