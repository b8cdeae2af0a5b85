package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pg-bgw/pg-bgw/units"
)

// follows names the fields without which another one cannot be judged: a
// mistake in the former makes a complaint about the latter pointless.
var follows = map[string][]string{
	"start_time":      {"flags"},
	"connection":      {"flags"},
	"command":         {"library_name", "function_name"},
	"library_name":    {"command"},
	"function_name":   {"command"},
	"attach":          {"command"},
	"restart_backoff": {"restart_time"},
}

// faults tells the mistakes that units finds in w, where they are made.
func (d *decoder) faults(w *units.Worker, p *place) {
	for _, f := range w.Validate() {
		if p.told(f.Field) {
			continue
		}
		tell := d.fail
		if _, written := p.fields[f.Field]; !written {
			tell = d.missing
		}
		tell(p.of(f.Field), f.Field+": "+f.Problem, sentence(f.Remedy))
	}
}

// told reports whether a fault of field is the consequence of a mistake that
// has been told.
func (p *place) told(field string) bool {
	if p.bad[field] {
		return true
	}
	block, _, inBlock := strings.Cut(field, ".")
	if inBlock && p.told(block) {
		return true
	}
	if _, written := p.fields[field]; !written && (field == "name" || field == "type") {
		return p.bad["label"] || p.bad["name"] || field == "type"
	}
	return slices.ContainsFunc(follows[field], func(f string) bool { return p.bad[f] })
}

// sample makes of a template an instance by which to judge it.
func (d *decoder) sample(def *definition) (units.Worker, bool) {
	if len(def.Command) > 0 && strings.Contains(def.Command[0], "%i") {
		d.fail(def.place.of("command"), "command: the argument cannot choose the program", `Use "%i" after the first element only.`)
		return units.Worker{}, false
	}
	w, err := substitute(def.Worker, "x")
	var bad *specifierError
	if errors.As(err, &bad) {
		d.fail(def.place.of(bad.field), err.Error(), `Write "%i" for the argument and "%%" for a percent sign.`)
		return units.Worker{}, false
	}
	return w, true
}

// finish makes the checks that need all files.
func (d *decoder) finish() {
	c := d.config
	if !slices.ContainsFunc(c.Segments, func(s Segment) bool { return s.Name == units.DefaultSegment }) {
		main := Segment{Name: units.DefaultSegment, Size: DefaultSegmentSize}
		c.Segments = slices.Insert(c.Segments, 0, main)
	}
	if !d.whole {
		return
	}
	var segments, servers []string
	for _, s := range c.Segments {
		segments = append(segments, s.Name)
	}
	for _, s := range c.Servers {
		servers = append(servers, s.Label)
	}
	for _, def := range d.definitions {
		if _, set := def.Environment["PGPASSWORD"]; set {
			d.warn(def.place.of("environment"), "environment: PGPASSWORD can be read by whoever may look into the process or the definition",
				`Write the password into a file and connection { password_file = "/etc/pg-bgw/secrets/NAME" }.`)
		}
		if def.Segment != "" {
			d.known(def, "segment", def.Segment, segments)
		}
		if def.Server != "" {
			d.known(def, "server", def.Server, servers)
		} else if needsServer(&def.Worker) && len(servers) > 1 && !def.place.told("server") {
			d.fail(def.place.header, "server: there is more than one", "Write which: server = "+anyOf(servers)+".")
		}
	}
	if n, limit := len(c.Workers), c.Settings.MaxWorkerProcesses; n > limit { // BGW-022
		d.warn(c.origins[c.Workers[limit].Label],
			fmt.Sprintf("%d workers, and max_worker_processes is %d", n, limit),
			"This worker and those after it will not start. Raise max_worker_processes.")
	}
}

// needsServer reports whether w depends on which server it belongs to.
func needsServer(w *units.Worker) bool {
	return w.Flags&units.BackendDatabaseConnection != 0 || w.StartTime != units.PostmasterStart
}

// known tells when no block of that label is among those there are.
func (d *decoder) known(def *definition, kind, label string, labels []string) {
	if slices.Contains(labels, label) {
		return
	}
	remedy := fmt.Sprintf("Write a block %s %q, or leave this out.", kind, label)
	if near, ok := nearest(label, labels); ok {
		remedy = fmt.Sprintf("Did you mean %q?", near)
	}
	d.fail(def.place.of(kind), fmt.Sprintf("%s: there is no %s %q", kind, kind, label), remedy)
}
