package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"charm.land/lipgloss/v2"

	"licet/license"
)

// Page collects what a command says to people. In a pipe it is plain text; on a
// terminal headings stand out. Ids and tickets stand alone between blanks, so
// that a double click copies them.
type Page struct {
	blocks []string
	fields [][2]string
}

var (
	strong = lipgloss.NewStyle().Bold(true)
	faint  = lipgloss.NewStyle().Faint(true)
)

// Line writes one line.
func (p *Page) Line(format string, args ...any) {
	p.flush()
	p.blocks = append(p.blocks, clean(fmt.Sprintf(format, args...)))
}

// Blank writes an empty line.
func (p *Page) Blank() { p.flush(); p.blocks = append(p.blocks, "") }

// Title writes a heading, after an empty line unless it is the first.
func (p *Page) Title(format string, args ...any) {
	p.flush()
	if len(p.blocks) > 0 {
		p.blocks = append(p.blocks, "")
	}
	p.blocks = append(p.blocks, strong.Render(clean(fmt.Sprintf(format, args...))))
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
	if len(p.blocks) > 0 {
		p.blocks = append(p.blocks, "")
	}
	p.blocks = append(p.blocks, faint.Render("Next:"))
	for _, s := range steps {
		p.blocks = append(p.blocks, "  "+clean(s))
	}
}

// Table writes rows in aligned columns under their headings, or the sentence
// empty if there are none.
func (p *Page) Table(empty string, headings []string, rows [][]string) {
	p.flush()
	if len(rows) == 0 {
		if empty != "" {
			p.blocks = append(p.blocks, empty)
		}
		return
	}
	widths := make([]int, len(headings))
	for _, row := range append([][]string{headings}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], lipgloss.Width(clean(cell)))
		}
	}
	line := func(row []string) string {
		var b strings.Builder
		for i, cell := range row {
			cell = clean(cell)
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-lipgloss.Width(cell)+2))
			}
		}
		return strings.TrimRight(b.String(), " ")
	}
	p.blocks = append(p.blocks, strong.Render(line(headings)))
	for _, row := range rows {
		p.blocks = append(p.blocks, line(row))
	}
}

// flush writes the fields that wait to be aligned.
func (p *Page) flush() {
	width := 0
	for _, f := range p.fields {
		width = max(width, lipgloss.Width(f[0]))
	}
	for _, f := range p.fields {
		gap := strings.Repeat(" ", width-lipgloss.Width(f[0])+2)
		p.blocks = append(p.blocks, faint.Render(f[0]+gap)+f[1])
	}
	p.fields = nil
}

func (p *Page) writeTo(w io.Writer) error {
	p.flush()
	if len(p.blocks) == 0 {
		return nil
	}
	// lipgloss takes the styles out again where w is no terminal.
	_, err := lipgloss.Fprint(w, strings.Join(p.blocks, "\n")+"\n")
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
