package cli

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// output has the flags of commands that print a result.
type output struct {
	JSON bool `name:"json" env:"-" help:"Print the API's answer as JSON, for programs."`
}

// show prints an answer: the raw bytes with --json, otherwise the text that people writes.
func (o *output) show(s Streams, raw []byte, people func(p *printer)) error {
	if o.JSON {
		_, err := fmt.Fprintf(s.Out, "%s\n", bytes.TrimSpace(raw))
		return err
	}
	p := &printer{colour: s.Colour}
	people(p)
	_, err := io.WriteString(s.Out, p.text.String())
	return err
}

// printer formats text for people.
type printer struct {
	text   strings.Builder
	colour bool
}

// table prints rows in columns. The first row has the headings.
func (p *printer) table(rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, row := range rows {
		for i, cell := range row {
			shown := p.paint(cell)
			if n == 0 {
				shown = p.in(bold, cell)
			}
			p.text.WriteString(shown)
			if i < len(row)-1 {
				p.text.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		p.text.WriteByte('\n')
	}
}

// withTenants puts a column with the tenants before the others, if the entries of a list name them.
func withTenants(rows [][]string, tenants []*string) [][]string {
	if len(tenants) == 0 || tenants[0] == nil {
		return rows
	}
	rows[0] = append([]string{"TENANT"}, rows[0]...)
	for i, tenant := range tenants {
		rows[i+1] = append([]string{known(tenant)}, rows[i+1]...)
	}
	return rows
}

// facts prints pairs of a name and a value, one per line. It leaves out empty values.
func (p *printer) facts(pairs ...string) {
	width := 0
	for pair := range slices.Chunk(pairs, 2) {
		if pair[1] != "" {
			width = max(width, utf8.RuneCountInString(pair[0]))
		}
	}
	for pair := range slices.Chunk(pairs, 2) {
		if pair[1] != "" {
			gap := strings.Repeat(" ", width-utf8.RuneCountInString(pair[0])+2)
			fmt.Fprintf(&p.text, "%s%s%s\n", p.in(bold, pair[0]), gap, p.paint(pair[1]))
		}
	}
}

// The codes of ANSI terminals.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (p *printer) in(code, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// paint colours a status.
func (p *printer) paint(text string) string {
	switch text {
	case "healthy", "success", "fits":
		return p.in(green, text)
	case "pending", "failing", "canceled", "disabled":
		return p.in(yellow, text)
	case "failed", "timed_out", "dropped", "does not fit":
		return p.in(red, text)
	default:
		return text
	}
}

// clean replaces unprintable characters in text from elsewhere, so that it cannot add lines or terminal codes.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '·'
	}, text)
}

// moment prints a time; "" for none.
func moment(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// number prints a number; "" for 0.
func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// more prints the cursor of the next page on standard error.
func more(s Streams, next *string) {
	if next != nil {
		fmt.Fprintf(s.Err, "more entries: --cursor=%s\n", *next)
	}
}
