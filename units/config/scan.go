package config

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
)

// Bounds of what the parser is given. It recurses without a limit of its own,
// and an overflow of the stack ends the process; a definition needs three
// levels and no operator but a sign.
const (
	maxDepth     = 100
	maxOperators = 1000
	maxPieces    = 2000 // lines of a text: the parser takes their number squared
)

// parse makes a syntax tree of a file, or says why not. It neither panics nor
// takes more than time in proportion to the file, whatever the file holds.
func parse(f File) (tree *hcl.File, diags hcl.Diagnostics) {
	defer func() {
		if p := recover(); p != nil {
			tree, diags = nil, hcl.Diagnostics{failure(f, p)}
		}
	}()
	if d := scanBytes(f); d != nil {
		return nil, hcl.Diagnostics{d}
	}
	if isJSON(f.Path) {
		if d := scanJSON(f); d != nil {
			return nil, hcl.Diagnostics{d}
		}
		return hcljson.Parse(f.Source, f.Path)
	}
	if d := scanTokens(f); d != nil {
		return nil, hcl.Diagnostics{d}
	}
	return hclsyntax.ParseConfig(f.Source, f.Path, hcl.InitialPos)
}

// scanBytes refuses what is no text. The parser would put NFC in place of any
// other form of Unicode without a word, and so change a path or an argument.
func scanBytes(f File) *hcl.Diagnostic {
	for i := 0; i < len(f.Source); {
		r, n := utf8.DecodeRune(f.Source[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return refusal(f, i, "The file is not UTF-8", fmt.Sprintf("Byte %#02x has no meaning here. Save the file as UTF-8.", f.Source[i]))
		case r < ' ' && r != '\n' && r != '\r' && r != '\t':
			return refusal(f, i, fmt.Sprintf("Control character %#02x", f.Source[i]), "Leave it out; in a quoted text, write what it stands for, as in \"\\u001b\".")
		}
		i += n
	}
	if i := firstDifference(f.Source, []byte(cty.NormalizeString(string(f.Source)))); i >= 0 {
		return refusal(f, i, "Text that is not in Unicode's form NFC",
			"HCL would replace it by other bytes that look the same. Save the file in form NFC; where other bytes are meant, use extra_base64 or a file without such a name.")
	}
	return nil
}

// firstDifference returns the offset in a at which b departs from it, or -1.
func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	for i > 0 && (i == len(a) || !utf8.RuneStart(a[i])) {
		i--
	}
	return i
}

// scanTokens bounds nesting and operators of native syntax by its tokens.
func scanTokens(f File) *hcl.Diagnostic {
	tokens, _ := hclsyntax.LexConfig(f.Source, f.Path, hcl.InitialPos) // the parser reports what is wrong with them
	depth, operators, pieces := 0, 0, 0
	previous := hclsyntax.TokenNewline
	for i, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOParen, hclsyntax.TokenOBrack,
			hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			depth++
			if t.Type == hclsyntax.TokenTemplateInterp || t.Type == hclsyntax.TokenTemplateControl ||
				t.Type == hclsyntax.TokenOBrack && endsValue(previous) { // an index
				operators++
			}
		case hclsyntax.TokenCBrace, hclsyntax.TokenCParen, hclsyntax.TokenCBrack,
			hclsyntax.TokenTemplateSeqEnd, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			depth = max(depth-1, 0)
		case hclsyntax.TokenMinus:
			if endsValue(previous) || tokens[min(i+1, len(tokens)-1)].Type != hclsyntax.TokenNumberLit {
				operators++ // no sign
			}
		default:
			if !literalTokens[t.Type] {
				operators++
			}
		}
		if pieces++; t.Type != hclsyntax.TokenStringLit && t.Type != hclsyntax.TokenQuotedLit {
			pieces = 0
		}
		if pieces > maxPieces {
			return refusalAt(t.Range, "Text of too many lines", fmt.Sprintf("A text may have %d lines; put a longer one into a file of its own.", maxPieces))
		}
		if depth > maxDepth {
			return refusalAt(t.Range, "Too deep", fmt.Sprintf("Brackets, blocks and templates may be nested %d deep.", maxDepth))
		}
		if operators > maxOperators {
			return refusalAt(t.Range, "Too many operators", "Values are written out; operators are not for them.")
		}
		previous = t.Type
	}
	return nil
}

// literalTokens are the tokens, brackets aside, that a file without operators
// consists of.
var literalTokens = map[hclsyntax.TokenType]bool{
	hclsyntax.TokenIdent: true, hclsyntax.TokenEqual: true, hclsyntax.TokenColon: true, hclsyntax.TokenComma: true,
	hclsyntax.TokenNumberLit: true, hclsyntax.TokenQuotedLit: true, hclsyntax.TokenStringLit: true,
	hclsyntax.TokenNewline: true, hclsyntax.TokenComment: true, hclsyntax.TokenEOF: true,
}

func endsValue(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenIdent, hclsyntax.TokenNumberLit, hclsyntax.TokenCQuote,
		hclsyntax.TokenCBrack, hclsyntax.TokenCBrace, hclsyntax.TokenCParen:
		return true
	}
	return false
}

// scanJSON bounds nesting of the JSON syntax.
func scanJSON(f File) *hcl.Diagnostic {
	depth, quoted := 0, false
	for i := 0; i < len(f.Source); i++ {
		switch c := f.Source[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return refusal(f, i, "Too deep", fmt.Sprintf("Objects and arrays may be nested %d deep.", maxDepth))
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// failure tells of a panic, which is a defect of ours or of a library.
func failure(f File, panicked any) *hcl.Diagnostic {
	return refusal(f, 0, "The file cannot be read",
		fmt.Sprintf("The parser failed on it (%v). Leave out parts of it to find the place, and report it.", panicked))
}

func refusal(f File, offset int, summary, detail string) *hcl.Diagnostic {
	before := f.Source[:offset]
	start := bytes.LastIndexByte(before, '\n') + 1
	at := hcl.Pos{
		Line:   bytes.Count(before, []byte{'\n'}) + 1,
		Column: utf8.RuneCount(before[start:]) + 1,
		Byte:   offset,
	}
	end := at
	end.Column, end.Byte = at.Column+1, at.Byte+1
	return refusalAt(hcl.Range{Filename: f.Path, Start: at, End: end}, summary, detail)
}

func refusalAt(r hcl.Range, summary, detail string) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &r}
}
