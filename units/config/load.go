package config

import (
	"cmp"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/pg-bgw/pg-bgw/units"
)

// Load reads the files that p names. It returns a Config, or nil when there is
// an error in any of the files; the diagnostics are never nil and may hold
// warnings beside a Config.
func Load(p Paths, o Options) (*Config, *Diagnostics) {
	files, diags := p.sources()
	return load(files, diags, p.Main, o)
}

// load makes a Config of what was read; unread tells what could not be.
func load(files []File, unread hcl.Diagnostics, main string, o Options) (*Config, *Diagnostics) {
	d := &decoder{
		options: o,
		main:    main,
		diags:   unread,
		whole:   !unread.HasErrors(),
		config:  &Config{Settings: DefaultSettings(), Files: files, origins: make(map[string]hcl.Range)},
		taken:   make(map[string]hcl.Range),
	}
	ds := &Diagnostics{trees: make(map[string]*hcl.File)}
	for _, f := range files {
		tree, diags := parse(f)
		d.broken = nil
		d.add(diags...)
		ds.trees[f.Path] = &hcl.File{Bytes: f.Source}
		if diags.HasErrors() {
			d.whole = false // what the file would have defined is not known
			d.broken = brokenLines(diags)
		}
		if tree != nil && tree.Body != nil {
			ds.trees[f.Path] = tree
			d.source = f.Source
			d.file(f, tree.Body)
		}
	}
	d.broken = nil
	d.finish()
	ds.list = d.diags
	ds.sort(files)
	if ds.HasErrors() {
		return nil, ds
	}
	return d.config, ds
}

// A decoder makes a Config of syntax trees.
type decoder struct {
	options Options
	main    string // path of the file that holds settings
	config  *Config
	diags   hcl.Diagnostics
	whole   bool   // every file could be read and parsed
	source  []byte // of the file at hand

	// broken are the lines of the file at hand with mistakes of syntax. It is
	// nil if there are none; if there are some, what seems to be missing may
	// be there, in what the parser skipped.
	broken map[int]bool

	definitions []*definition        // without a mistake so far, workers and templates
	taken       map[string]hcl.Range // labels by kind: where they were first given
}

// add takes diagnostics up, but for those about a line of which the parser has
// said something already.
func (d *decoder) add(diags ...*hcl.Diagnostic) {
	for _, diag := range diags {
		if diag.Subject == nil || !d.broken[diag.Subject.Start.Line] {
			d.diags = append(d.diags, diag)
		}
	}
}

func brokenLines(diags hcl.Diagnostics) map[int]bool {
	lines := make(map[int]bool)
	for _, diag := range diags {
		if diag.Subject != nil {
			lines[diag.Subject.Start.Line] = true
		}
	}
	return lines
}

// fail tells a mistake in what is written at r.
func (d *decoder) fail(r hcl.Range, problem, remedy string) {
	d.add(refusalAt(r, problem, remedy))
}

// missing tells that something is not written in the block at r.
func (d *decoder) missing(r hcl.Range, problem, remedy string) {
	if d.broken == nil {
		d.fail(r, problem, remedy)
	}
}

func (d *decoder) warn(r hcl.Range, problem, remedy string) {
	d.add(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: problem, Detail: remedy, Subject: &r})
}

// blockTypes are the blocks with a label; they may stand in every file.
var blockTypes = []hcl.BlockHeaderSchema{
	{Type: "segment", LabelNames: []string{"label"}},
	{Type: "server", LabelNames: []string{"label"}},
	{Type: "worker", LabelNames: []string{"label"}},
	{Type: "template", LabelNames: []string{"label"}},
}

// file reads one file, and survives a failure of the libraries under it.
func (d *decoder) file(f File, body hcl.Body) {
	defer func() {
		if p := recover(); p != nil {
			d.add(failure(f, p))
		}
	}()
	s := settingsSchema
	if f.Path != d.main {
		s = schema[Settings]{moved: settingsMoved(cmp.Or(d.main, DefaultMain))}
	}
	p := newPlace(hcl.Range{Filename: f.Path, Start: hcl.InitialPos, End: hcl.InitialPos})
	for _, b := range decode(d, body, s, &p, &d.config.Settings, blockTypes...) {
		d.label(b)
		switch b.Type {
		case "segment":
			d.segment(b)
		case "server":
			d.server(b)
		case "worker":
			d.definition(b, workerSchema)
		case "template":
			d.definition(b, templateSchema)
		}
	}
}

// label tells when a block's label cannot be one or is not the first of its
// kind. Workers and templates are one kind.
func (d *decoder) label(b *hcl.Block) {
	label, at := b.Labels[0], b.LabelRanges[0]
	if !units.ValidLabel(label) {
		d.fail(at, fmt.Sprintf("%q cannot be a label", label), "Use "+units.LabelForm+".")
	}
	kind := b.Type
	if kind == "template" {
		kind = "worker"
	}
	key := kind + " " + label
	if first, ok := d.taken[key]; ok {
		d.fail(at, fmt.Sprintf("Duplicate label: %s %q", b.Type, label), "It is taken at "+where(first)+".")
		return
	}
	d.taken[key] = at
}

func (d *decoder) segment(b *hcl.Block) {
	s := Segment{Name: b.Labels[0], Size: DefaultSegmentSize}
	p := newPlace(b.DefRange)
	decode(d, b.Body, segmentSchema, &p, &s)
	d.config.Segments = append(d.config.Segments, s)
}

func (d *decoder) server(b *hcl.Block) {
	s := Server{Label: b.Labels[0]}
	p := newPlace(b.DefRange)
	decode(d, b.Body, serverSchema, &p, &s)
	_, conninfo := p.fields["conninfo"]
	cluster, both := p.fields["cluster"]
	switch {
	case conninfo && both:
		d.fail(cluster, "cluster: conninfo is given as well", "Leave one of them out.")
	case !conninfo && !both && !p.bad["conninfo"] && !p.bad["cluster"]:
		d.missing(b.DefRange, "conninfo: it is missing", `Write conninfo = "host=/run/postgresql", or cluster = "15/main".`)
	}
	d.config.Servers = append(d.config.Servers, s)
}

// definition reads a worker or a template.
func (d *decoder) definition(b *hcl.Block, s schema[definition]) {
	def := &definition{place: newPlace(b.DefRange)}
	def.Label = b.Labels[0]
	def.place.fields["label"] = b.LabelRanges[0]
	def.place.bad["label"] = !units.ValidLabel(def.Label) // told by label
	before := len(d.diags)
	decode(d, b.Body, s, &def.place, def)
	w := def.Worker
	if b.Type == "template" {
		var ok bool
		if w, ok = d.sample(def); !ok {
			return
		}
	}
	w = w.WithDefaults()
	d.faults(&w, &def.place)
	d.definitions = append(d.definitions, def)
	if len(d.diags) > before || def.place.bad["label"] {
		return
	}
	d.config.origins[def.Label] = b.DefRange
	if b.Type == "worker" {
		d.config.Workers = append(d.config.Workers, w)
		return
	}
	t := Template{Label: def.Label, definition: def.Worker}
	if def.pattern != "" {
		t.pattern, _ = compilePattern(def.pattern) // compiled before, as the attribute was read
	}
	d.config.Templates = append(d.config.Templates, t)
}
