package config

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// A Field is one attribute that a file may hold, for documentation.
type Field struct {
	Block    string // blocks around it, "worker.connection"; empty: the top of the main file
	Name     string
	Type     string // "string", "integer", "number", "boolean", "time", "size", "list", "map" or a choice of words
	Default  string // as HCL would write it; empty: the attribute has none
	Required bool   // a block without it is refused
	Doc      string // one or two sentences
}

// Schema lists every attribute in the order in which a manual would.
func Schema() []Field {
	var fs []Field
	fs = append(fs, settingsSchema.fields("")...)
	fs = append(fs, segmentSchema.fields("segment")...)
	fs = append(fs, serverSchema.fields("server")...)
	fs = append(fs, workerSchema.fields("worker")...)
	fs = append(fs, templateSchema.fields("template")...)
	return fs
}

// A schema says what a block may hold, and how that becomes a T. It is what
// the decoder obeys and what the documentation lists.
type schema[T any] struct {
	attrs  []attr[T]
	groups []group[T]
	// moved are attributes that somebody may expect here, with what to tell
	// them. They are no part of the documentation.
	moved []moved
}

// An attr is one attribute.
type attr[T any] struct {
	name, typ, def string
	required       string // what to write where it is missing; empty: it may be
	doc            string
	set            func(v *value, t *T)
}

// A group is a block without a label that may be given once.
type group[T any] struct {
	name  string
	open  func(t *T) // the block is there, if empty; may be nil
	attrs []attr[T]
}

type moved struct{ name, detail string }

func (s schema[T]) fields(block string) []Field {
	fs := fieldsOf(block, s.attrs)
	for _, g := range s.groups {
		fs = append(fs, fieldsOf(block+"."+g.name, g.attrs)...)
	}
	return fs
}

func fieldsOf[T any](block string, attrs []attr[T]) []Field {
	fs := make([]Field, len(attrs))
	for i, a := range attrs {
		fs[i] = Field{Block: block, Name: a.name, Type: a.typ, Default: a.def, Required: a.required != "", Doc: a.doc}
	}
	return fs
}

// A place is where a block and its attributes are written. Fields are named as
// [units.Fault] names them.
type place struct {
	header hcl.Range            // type and label of the block
	fields map[string]hcl.Range // values of attributes, headers of blocks
	bad    map[string]bool      // fields with a mistake that has been told
}

func newPlace(header hcl.Range) place {
	return place{header: header, fields: make(map[string]hcl.Range), bad: make(map[string]bool)}
}

// of is the range to show for a field: its own, that of the block it would be
// in, or the whole definition's header.
func (p *place) of(field string) hcl.Range {
	for field != "" {
		if r, ok := p.fields[field]; ok {
			return r
		}
		i := len(field) - 1
		for i > 0 && field[i] != '.' {
			i--
		}
		field = field[:max(i, 0)]
	}
	return p.header
}

// decode reads body into t. More block types than those of the schema may be
// allowed; they are returned as they are.
func decode[T any](d *decoder, body hcl.Body, s schema[T], p *place, t *T, more ...hcl.BlockHeaderSchema) hcl.Blocks {
	want := bodySchema(s.attrs)
	for _, g := range s.groups {
		want.Blocks = append(want.Blocks, hcl.BlockHeaderSchema{Type: g.name})
	}
	for _, m := range s.moved {
		want.Attributes = append(want.Attributes, hcl.AttributeSchema{Name: m.name})
	}
	want.Blocks = append(want.Blocks, more...)
	content, diags := body.Content(want)
	d.add(diags...)
	misspelt(d, diags, s.attrs, "", p)
	for _, m := range s.moved {
		if a := content.Attributes[m.name]; a != nil {
			d.fail(a.NameRange, "Unsupported argument: "+m.name, m.detail)
		}
	}
	decodeAttrs(d, content, s.attrs, "", p, t)
	for _, g := range s.groups {
		decodeGroup(d, content, g, p, t)
	}
	if len(more) == 0 {
		return nil
	}
	return slices.DeleteFunc(content.Blocks, func(b *hcl.Block) bool {
		return !slices.ContainsFunc(more, func(m hcl.BlockHeaderSchema) bool { return m.Type == b.Type })
	})
}

func bodySchema[T any](attrs []attr[T]) *hcl.BodySchema {
	want := new(hcl.BodySchema)
	for _, a := range attrs {
		want.Attributes = append(want.Attributes, hcl.AttributeSchema{Name: a.name})
	}
	return want
}

func decodeGroup[T any](d *decoder, content *hcl.BodyContent, g group[T], p *place, t *T) {
	blocks := content.Blocks.OfType(g.name)
	if len(blocks) == 0 {
		return
	}
	for _, again := range blocks[1:] {
		d.fail(again.DefRange, "Duplicate block: "+g.name, "It may be given once, and is at "+where(blocks[0].DefRange)+".")
	}
	p.fields[g.name] = blocks[0].DefRange
	if g.open != nil {
		g.open(t)
	}
	inner, diags := blocks[0].Body.Content(bodySchema(g.attrs))
	d.add(diags...)
	misspelt(d, diags, g.attrs, g.name+".", p)
	decodeAttrs(d, inner, g.attrs, g.name+".", p, t)
}

// misspelt marks the attributes that the names in diags were probably meant to
// be, so that nobody is told in addition that they are missing.
func misspelt[T any](d *decoder, diags hcl.Diagnostics, attrs []attr[T], prefix string, p *place) {
	names := make([]string, len(attrs))
	for i, a := range attrs {
		names[i] = a.name
	}
	for _, diag := range diags {
		if diag.Subject == nil || !diag.Subject.CanSliceBytes(d.source) {
			continue
		}
		written := strings.Trim(string(diag.Subject.SliceBytes(d.source)), `"`)
		if name, ok := nearest(written, names); ok {
			p.bad[prefix+name] = true
		}
	}
}

func decodeAttrs[T any](d *decoder, content *hcl.BodyContent, attrs []attr[T], prefix string, p *place, t *T) {
	for _, a := range attrs {
		field := prefix + a.name
		found := content.Attributes[a.name]
		switch {
		case found != nil:
			p.fields[field] = found.Expr.Range()
			a.set(&value{d: d, field: field, expr: found.Expr, place: p}, t)
		case a.required != "" && !p.bad[field]:
			p.bad[field] = true
			d.missing(p.of(field), field+": it is missing", "It has no default: "+a.required+".")
		}
	}
}
