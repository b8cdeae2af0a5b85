package server

import (
	"slices"
	"strings"
)

// Admits reports whether a pg_hba.conf lets role into a database over the local
// socket by peer, with the map MapName if mapped: whether the first line that
// fits, which is the one that counts, says so. The empty database is all of
// them. What cannot be told, as of a group or behind an include, admits nobody.
func Admits(hba, database, role string, mapped bool) bool {
	for _, line := range hbaLines(hba) {
		if strings.HasPrefix(line[0][0].text, "include") {
			return false
		}
		if line[0][0].text != "local" || len(line) < 4 {
			continue
		}
		db, dbSure := line[1].fits(database, role)
		who, whoSure := line[2].fits(role, role)
		if !db || !who {
			continue
		}
		m := ""
		for _, option := range line[4:] {
			if name, ok := strings.CutPrefix(option[0].text, "map="); ok {
				m = name
			}
		}
		return dbSure && whoSure && line[3][0].text == "peer" && (m == MapName) == mapped && (mapped || m == "")
	}
	return false
}

// Mapped reports whether a pg_ident.conf lets a system user be a role by the
// map MapName.
func Mapped(ident, user, role string) bool {
	return slices.ContainsFunc(hbaLines(ident), func(line []hbaField) bool {
		return len(line) == 3 && line[0][0].text == MapName && line[1][0].text == user && line[2][0].text == role
	})
}

// WithRules returns a pg_hba.conf with more lines, under a comment, before all
// rules: the first that fits is the one that counts.
func WithRules(hba, comment string, lines []string) string {
	var before strings.Builder
	rest := hba
	for rest != "" {
		line, after, _ := strings.Cut(rest, "\n")
		if text := strings.TrimSpace(line); text != "" && !strings.HasPrefix(text, "#") {
			break
		}
		for strings.HasSuffix(line, "\\") && after != "" { // a comment goes on as a rule does
			var more string
			more, after, _ = strings.Cut(after, "\n")
			line += "\n" + more
		}
		before.WriteString(line + "\n")
		rest = after
	}
	return before.String() + "# " + comment + "\n" + strings.Join(lines, "\n") + "\n" + rest
}

// WithMaps returns a pg_ident.conf with more lines, under a comment, at its end.
func WithMaps(ident, comment string, lines []string) string {
	if ident != "" && !strings.HasSuffix(ident, "\n") {
		ident += "\n"
	}
	return ident + "# " + comment + "\n" + strings.Join(lines, "\n") + "\n"
}

// An hbaField is a field of a line: names between commas.
type hbaField []hbaToken

// An hbaToken is a name; in quotes it is never a keyword.
type hbaToken struct {
	text   string
	quoted bool
}

// fits reports whether a field is about name, and whether that is sure. The
// empty name is all databases, of which a field that lists some says nothing.
func (f hbaField) fits(name, role string) (fits, sure bool) {
	for _, t := range f {
		switch {
		case !t.quoted && t.text == "all", name != "" && t.text == name && (t.quoted || !slices.Contains(hbaKeywords, name)):
			return true, true
		case name == "" || t.quoted:
		case t.text == "sameuser" && name == role:
			return true, true
		case t.text == "samerole", t.text == "samegroup", t.text != "" && strings.ContainsRune("+@/", rune(t.text[0])):
			fits = true
		}
	}
	return fits, false
}

// hbaLines cuts a file of that syntax into lines that say something, and these
// into fields (PostgreSQL's documentation, "The pg_hba.conf File": white space
// between fields, commas between names, comments, quotation marks, and from 14
// on a backslash at the end of a line that goes on; the server's own reading of
// doubled quotation marks and of commas was looked at in 15).
func hbaLines(text string) [][]hbaField {
	var lines [][]hbaField
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\\\n", ""), "\n") {
		if fields := hbaFields(strings.TrimSuffix(line, "\r")); len(fields) > 0 {
			lines = append(lines, fields)
		}
	}
	return lines
}

func hbaFields(line string) []hbaField {
	var fields []hbaField
	var token hbaToken
	inQuotes, inToken, inList, closed := false, false, false, false
	end := func() {
		if !inToken {
			return
		}
		if inList {
			fields[len(fields)-1] = append(fields[len(fields)-1], token)
		} else {
			fields = append(fields, hbaField{token})
		}
		token, inToken, inList = hbaToken{}, false, false
	}
	for i := range len(line) {
		again := closed // the last one was a quotation mark that ended a quotation
		closed = false
		switch c := line[i]; {
		case c == '"':
			token.quoted, inToken = token.quoted || token.text == "", true
			if again { // two are one that is meant
				token.text += `"`
			}
			closed = inQuotes
			inQuotes = !inQuotes
		case inQuotes:
			token.text += line[i : i+1]
		case c == '#':
			end()
			return fields
		case c == ' ' || c == '\t':
			end()
		case c == ',': // after white space it is no more than that
			list := inToken || inList
			end()
			inList = list
		default:
			token.text += line[i : i+1]
			inToken = true
		}
	}
	end()
	return fields
}
