package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/mattn/go-runewidth"

	"licet/license"
)

// Page collects what a command says to people. In a pipe it is plain text; on a
// terminal headings stand out. Ids and tickets stand alone between blanks, so
// that a double click copies them.
type Page struct {
	lines  []line
	fields [][2]string // wait to be aligned with their neighbors
}

// line is one line and how it stands out on a terminal.
type line struct {
	style style
	text  string
}

// style is a terminal's code for how a line looks.
type style string

const (
	plain  style = ""
	strong style = "\x1b[1m"
	faint  style = "\x1b[2m"
	reset  style = "\x1b[0m"
)

func (p *Page) add(s style, text string) { p.lines = append(p.lines, line{s, text}) }

// Line writes one line.
func (p *Page) Line(format string, args ...any) {
	p.flush()
	p.add(plain, clean(fmt.Sprintf(format, args...)))
}

// Blank writes an empty line.
func (p *Page) Blank() { p.flush(); p.add(plain, "") }

// Title writes a heading, after an empty line unless it is the first.
func (p *Page) Title(format string, args ...any) {
	p.flush()
	if len(p.lines) > 0 {
		p.add(plain, "")
	}
	p.add(strong, clean(fmt.Sprintf(format, args...)))
}

// Field writes a name and its value; neighboring fields are aligned. An empty
// value is left out.
func (p *Page) Field(name, format string, args ...any) {
	if value := clean(fmt.Sprintf(format, args...)); value != "" {
		p.fields = append(p.fields, [2]string{name, value})
	}
}

// Next writes what can be done next, one line each, after an empty line.
func (p *Page) Next(steps ...string) {
	p.flush()
	if len(steps) == 0 {
		return
	}
	if len(p.lines) > 0 {
		p.add(plain, "")
	}
	p.add(faint, "Next:")
	for _, s := range steps {
		p.add(plain, "  "+clean(s))
	}
}

// Table writes rows in aligned columns under their headings, or the sentence
// empty if there are none.
func (p *Page) Table(empty string, headings []string, rows [][]string) {
	p.flush()
	if len(rows) == 0 {
		if empty != "" {
			p.add(plain, empty)
		}
		return
	}
	widths := make([]int, len(headings))
	for _, row := range append([][]string{headings}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], runewidth.StringWidth(clean(cell)))
		}
	}
	align := func(row []string) string {
		var b strings.Builder
		for i, cell := range row {
			cell = clean(cell)
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-runewidth.StringWidth(cell)+2))
			}
		}
		return strings.TrimRight(b.String(), " ")
	}
	p.add(strong, align(headings))
	for _, row := range rows {
		p.add(plain, align(row))
	}
}

// flush writes the fields that wait to be aligned.
func (p *Page) flush() {
	width := 0
	for _, f := range p.fields {
		width = max(width, runewidth.StringWidth(f[0]))
	}
	for _, f := range p.fields {
		gap := strings.Repeat(" ", width-runewidth.StringWidth(f[0])+2)
		p.add(plain, f[0]+gap+f[1])
	}
	p.fields = nil
}

func (p *Page) writeTo(w io.Writer) error {
	p.flush()
	styled := Terminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	var b strings.Builder
	for _, l := range p.lines {
		if styled && l.style != plain {
			l.text = string(l.style) + l.text + string(reset)
		}
		b.WriteString(l.text + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// clean takes control characters out of what may come from somebody else, so
// that a name cannot move the cursor or color the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) || (unicode.Is(unicode.Cf, r) && r != '\u200d') {
			return -1
		}
		return r
	}, s)
}

// When writes a moment exactly and as seen from now: "2026-10-19T14:00:00Z (in
// 3 days)". No moment gives "".
func When(t license.Time, now time.Time) string {
	if t == 0 {
		return ""
	}
	return t.String() + " (" + Ago(t, now) + ")"
}

// Ago writes a moment as seen from now: "in 3 days", "2 hours ago". No moment
// gives "".
func Ago(t license.Time, now time.Time) string {
	if t == 0 {
		return ""
	}
	d := t.Go().Sub(now)
	if d > -time.Second && d < time.Second {
		return "now"
	}
	if d < 0 {
		return span(-d) + " ago"
	}
	return "in " + span(d)
}

// span writes a length of time in its largest whole unit, cut off, so that what
// is left is never overstated.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	for _, u := range []struct {
		size time.Duration
		name string
	}{{365 * day, "year"}, {day, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		// Up to two years are told in days.
		if n := d / u.size; n >= 2 || n == 1 && u.size != 365*day {
			if n == 1 {
				return "1 " + u.name
			}
			return fmt.Sprintf("%d %ss", n, u.name)
		}
	}
	return "0 seconds"
}
