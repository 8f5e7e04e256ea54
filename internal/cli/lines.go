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
	// longestLine is larger than the API's limit for the request of one event.
	longestLine = 4 << 20
	// largestBatch keeps a request below the API's limit of 16 MiB.
	largestBatch = 12 << 20
)

// lineReader reads batches of events. It skips empty lines.
type lineReader struct {
	in        io.Reader
	batch     int
	eventType string // the type of every line's event; the lines then are data

	scanner *bufio.Scanner
	number  int
	read    int64
	spare   *line // a line that was read and did not fit into the previous batch
}

// next returns the next lines. With the last of them it returns io.EOF, or the error of an invalid
// line.
func (r *lineReader) next() ([]line, error) {
	if r.scanner == nil {
		r.scanner = bufio.NewScanner(r.in)
		r.scanner.Buffer(nil, longestLine)
	}
	var lines []line
	size := 0
	if r.spare != nil {
		lines, size, r.spare = append(lines, *r.spare), len(r.spare.event), nil
	}
	for len(lines) < r.batch {
		l, err := r.one()
		if err != nil {
			return lines, err
		}
		if size += len(l.event) + 1; size > largestBatch && len(lines) > 0 {
			r.spare = &l
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
			name, _ := json.Marshal(r.eventType) // a string can always be encoded
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
