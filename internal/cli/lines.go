package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// line is one event of an NDJSON text.
type line struct {
	number int
	event  []byte
}

const (
	// longestLine is above what the API takes as one event's request.
	longestLine = 4 << 20
	// largestBatch keeps a request below the API's bound of 16 MiB.
	largestBatch = 12 << 20
)

// lineReader reads batches of events. Empty lines are none.
type lineReader struct {
	in        io.Reader
	batch     int
	eventType string // of all lines, which then are data

	scanner *bufio.Scanner
	number  int
	read    int64
	held    *line // read, and too much for the batch before
}

// next returns the next lines, and with the last of them what ended them: io.EOF,
// or what is wrong with a line.
func (r *lineReader) next() ([]line, error) {
	if r.scanner == nil {
		r.scanner = bufio.NewScanner(r.in)
		r.scanner.Buffer(nil, longestLine)
	}
	var lines []line
	size := 0
	if r.held != nil {
		lines, size, r.held = append(lines, *r.held), len(r.held.event), nil
	}
	for len(lines) < r.batch {
		l, err := r.one()
		if err != nil {
			return lines, err
		}
		if size += len(l.event) + 1; size > largestBatch && len(lines) > 0 {
			r.held = &l
			break
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func (r *lineReader) one() (line, error) {
	for r.scanner.Scan() {
		r.number++
		r.read += int64(len(r.scanner.Bytes())) + 1
		text := bytes.TrimSpace(r.scanner.Bytes())
		if len(text) == 0 {
			continue
		}
		if err := valid(text); err != nil {
			return line{}, fmt.Errorf("line %d %w", r.number, err)
		}
		if r.eventType != "" {
			name, _ := json.Marshal(r.eventType) // a string always has a form
			return line{r.number, slices.Concat([]byte(`{"type":`), name, []byte(`,"data":`), text, []byte(`}`))}, nil
		}
		if text[0] != '{' {
			return line{}, fmt.Errorf("line %d is not an event: want an object with type and data, or give --type", r.number)
		}
		return line{r.number, bytes.Clone(text)}, nil
	}
	if err := r.scanner.Err(); err != nil {
		return line{}, fmt.Errorf("line %d: %w", r.number+1, err)
	}
	return line{}, io.EOF
}
