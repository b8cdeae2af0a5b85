package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/spf13/cobra"
)

const instantiateLong = `Register a worker from a template that the administrator wrote; its handle is printed.
ARGUMENT takes the place of %i in the template. KEY=VALUE replaces a field, under the
name that it has in a configuration file; environment.NAME=VALUE adds a variable.
What a template lets a caller replace is the service's decision. An argument that has
the form KEY=VALUE itself is given with --argument.`

func newInstantiate(a *app) *cobra.Command {
	var wait waitFlag
	var argument string
	cmd := &cobra.Command{
		Use:     "instantiate TEMPLATE [ARGUMENT] [KEY=VALUE...]",
		Short:   "Register a worker from a template",
		Long:    instantiateLong,
		Example: "  pg-bgwctl instantiate vacuum mydb\n  pg-bgwctl instantiate vacuum mydb name=mydb main_arg=7",
		Args:    between(1, -1, "a template"),
	}
	wait.register(cmd, "it runs")
	cmd.Flags().StringVar(&argument, "argument", "", "the argument, whatever its form")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := wait.parse(cmd); err != nil {
			return err
		}
		template, rest := args[0], args[1:]
		if len(rest) > 0 && !cmd.Flags().Changed("argument") && !isOverride(rest[0]) {
			argument, rest = rest[0], rest[1:]
		}
		overrides, err := overridesOf(rest)
		if err != nil {
			return err
		}
		return a.withBus(func(ctx context.Context, b *bus) error {
			name := template + " " + argument
			return a.registered(b, &wait, name, "instantiate template "+safe(template), func() (handle, error) {
				return b.Instantiate(ctx, template, argument, overrides, 0)
			})
		})
	}
	return cmd
}

// override is one field that a caller may ask to replace: HCL's word for it, its key on the bus, and how to read it.
type override struct {
	word string
	key  dbusapi.Keys
	set  func(d *dbusapi.Definition, value string) error
}

// environmentPrefix begins the word for a variable.
const environmentPrefix = "environment."

var overrides = []override{
	{"name", dbusapi.KeyName, func(d *dbusapi.Definition, v string) error { d.Name = v; return nil }},
	{"type", dbusapi.KeyType, func(d *dbusapi.Definition, v string) error { d.Type = v; return nil }},
	{"flags", dbusapi.KeyFlags, func(d *dbusapi.Definition, v string) error { d.Flags = strings.Split(v, ","); return nil }},
	{"start_time", dbusapi.KeyStartTime, func(d *dbusapi.Definition, v string) error {
		d.StartTime = v
		if _, ok := units.ParseStartTime(v); !ok {
			return fmt.Errorf("%q is not one of %s", v, strings.Join(units.StartTimeNames(), ", "))
		}
		return nil
	}},
	{"restart_time", dbusapi.KeyRestartTime, func(d *dbusapi.Definition, v string) error {
		t, err := units.ParseRestartTime(v)
		d.RestartTime = int32(t)
		return err
	}},
	{"main_arg", dbusapi.KeyMainArg, func(d *dbusapi.Definition, v string) (err error) {
		if d.MainArg, err = strconv.ParseUint(v, 0, 64); err != nil {
			err = fmt.Errorf("%q is not a number from 0 to 2^64-1", v)
		}
		return err
	}},
	{"extra", dbusapi.KeyExtra, func(d *dbusapi.Definition, v string) error { d.Extra = []byte(v); return nil }},
	{"extra_base64", dbusapi.KeyExtra, func(d *dbusapi.Definition, v string) (err error) {
		if d.Extra, err = base64.StdEncoding.DecodeString(v); err != nil {
			err = fmt.Errorf("it is not base64; write what base64(1) prints")
		}
		return err
	}},
	{"database", dbusapi.KeyDatabase, func(d *dbusapi.Definition, v string) error { d.Database = v; return nil }},
	{"role", dbusapi.KeyRole, func(d *dbusapi.Definition, v string) error { d.Role = v; return nil }},
	{"segment", dbusapi.KeySegment, func(d *dbusapi.Definition, v string) error { d.Segment = v; return nil }},
	{"server", dbusapi.KeyServer, func(d *dbusapi.Definition, v string) error { d.Server = v; return nil }},
	{"kill_signal", dbusapi.KeyKillSignal, func(d *dbusapi.Definition, v string) error {
		s, err := units.ParseSignal(v)
		d.KillSignal = s.String()
		return err
	}},
	{"kill_timeout", dbusapi.KeyKillTimeoutUSec, func(d *dbusapi.Definition, v string) error {
		t, err := units.ParseDuration(v)
		d.KillTimeoutUSec = microseconds(t)
		return err
	}},
}

// isOverride reports whether arg reads as KEY=VALUE.
func isOverride(arg string) bool {
	word, _, ok := strings.Cut(arg, "=")
	if !ok || word == "" {
		return false
	}
	return strings.HasPrefix(word, environmentPrefix) || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz_0123456789") == ""
}

// overridesOf reads KEY=VALUE arguments; every key may be given once.
func overridesOf(args []string) (dbusapi.Definition, error) {
	var d dbusapi.Definition
	for _, arg := range args {
		word, value, ok := strings.Cut(arg, "=")
		if !ok {
			return d, &failure{code: codeUsage, text: fmt.Sprintf("%q is not of the form KEY=VALUE", arg),
				hint: "the argument of the template comes first; see: pg-bgwctl help instantiate"}
		}
		if name, ok := strings.CutPrefix(word, environmentPrefix); ok {
			if err := addVariable(&d, name, value); err != nil {
				return d, err
			}
			continue
		}
		i := slices.IndexFunc(overrides, func(o override) bool { return o.word == word })
		if i < 0 {
			return d, unknownOverride(word)
		}
		if d.Set.Has(overrides[i].key) {
			return d, &failure{code: codeUsage, text: word + " is given twice", hint: "leave one of them out"}
		}
		d.Set |= overrides[i].key
		if err := overrides[i].set(&d, value); err != nil {
			return d, &failure{code: codeUsage, text: word + ": " + err.Error(), hint: "it is written as in pg-bgw.hcl(5)"}
		}
	}
	return d, nil
}

func addVariable(d *dbusapi.Definition, name, value string) error {
	if _, twice := d.Environment[name]; twice || name == "" {
		return &failure{code: codeUsage, text: fmt.Sprintf("%s%s: the name is empty or given twice", environmentPrefix, name),
			hint: "write environment.NAME=VALUE, once for each NAME"}
	}
	if d.Environment == nil {
		d.Environment = map[string]string{}
	}
	d.Environment[name] = value
	d.Set |= dbusapi.KeyEnvironment
	return nil
}

func unknownOverride(word string) error {
	var words []string
	for _, o := range overrides {
		words = append(words, o.word)
	}
	hint := "the keys are " + strings.Join(words, ", ") + " and environment.NAME; an argument of this form is given with --argument"
	if near := nearest(word, words); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return &failure{code: codeUsage, text: fmt.Sprintf("there is no key %q", word), hint: hint}
}
