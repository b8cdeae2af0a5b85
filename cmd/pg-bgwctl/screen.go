package main

import (
	"io"
	"os"
	"strconv"
	"strings"
)

// screen is what the output can show.
type screen struct {
	width   int  // columns; 0: any number, as in a file
	color   bool // escape sequences for colours are wanted
	unicode bool // characters outside ASCII may be used for decoration
}

// screenOf looks at where results go. COLUMNS counts for files too; NO_COLOR (no-color.org) and SYSTEMD_COLORS are what
// other tools of a systemd machine obey.
func screenOf(out io.Writer, getenv func(string) string) screen {
	terminal, size := false, 0
	if f, ok := out.(*os.File); ok {
		size, terminal = terminalWidth(f)
	}
	if n, err := strconv.Atoi(getenv("COLUMNS")); err == nil && n > 0 && n <= 10_000 {
		size = n
	} else if terminal && size <= 0 {
		size = 80
	}
	locale := getenv("LC_ALL")
	if locale == "" {
		locale = getenv("LC_CTYPE")
	}
	if locale == "" {
		locale = getenv("LANG")
	}
	locale = strings.ToLower(strings.ReplaceAll(locale, "-", ""))
	return screen{width: size, color: wantsColor(terminal, getenv), unicode: strings.Contains(locale, "utf8")}
}

func wantsColor(terminal bool, getenv func(string) string) bool {
	if s := getenv("SYSTEMD_COLORS"); s != "" {
		no := strings.Contains(" 0 no n false f off ", " "+strings.ToLower(s)+" ")
		yes := strings.Contains(" 1 yes y true t on 16 256 24bit ", " "+strings.ToLower(s)+" ")
		if no || yes {
			return yes
		}
	}
	return terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}

// errScreen is what standard error can show.
func (a *app) errScreen() screen { return screenOf(a.err, os.Getenv) }

// style is a colour, as the parameters of its escape sequence.
type style string

// The styles.
const (
	plainText style = ""
	good      style = "32"
	waiting   style = "33"
	bad       style = "1;31"
	dim       style = "90"
)

// paint colours s where colours are wanted.
func (s screen) paint(st style, text string) string {
	if !s.color || st == plainText {
		return text
	}
	return "\x1b[" + string(st) + "m" + text + "\x1b[0m"
}

// mark is what stands for text that was cut.
func (s screen) mark() string {
	if s.unicode {
		return "…"
	}
	return "..."
}

// fit cuts one line to the width of the screen, of which used columns are taken.
func (s screen) fit(line string, used int) string {
	if s.width == 0 {
		return line
	}
	return cut(line, max(s.width-used, 1), s.mark())
}
