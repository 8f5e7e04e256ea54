package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progress is a line on a terminal that is overwritten while events are published.
type progress struct {
	out      io.Writer // nil without a terminal
	size     int64     // of the whole input, in bytes; 0 if unknown
	read     int64
	accepted int
	refused  int
	began    time.Time
	shown    time.Time
	dirty    bool
}

// redraw is the least time between two writes of the line.
const redraw = 100 * time.Millisecond

func newProgress(s Streams, size int64) *progress {
	p := &progress{size: size, began: time.Now()}
	if s.Live {
		p.out = s.Err
	}
	return p
}

func (p *progress) show() {
	now := time.Now()
	if p.out == nil || now.Sub(p.shown) < redraw {
		return
	}
	p.shown, p.dirty = now, true
	fmt.Fprintf(p.out, "\r\x1b[K%s%s", p.bar(), p.summary(now.Sub(p.began)))
}

// bar shows how much of a file has been read.
func (p *progress) bar() string {
	const width = 30
	if p.size == 0 {
		return ""
	}
	part := min(float64(p.read)/float64(p.size), 1)
	full := int(part * width)
	return fmt.Sprintf("[%s%s] %3.0f %%  ", strings.Repeat("█", full), strings.Repeat("·", width-full), 100*part)
}

// summary describes how many events were published, and how fast.
func (p *progress) summary(took time.Duration) string {
	text := fmt.Sprintf("%d accepted, ", p.accepted)
	if p.refused > 0 {
		text += fmt.Sprintf("%d refused, ", p.refused)
	}
	perSecond := 0.0
	if took > 0 {
		perSecond = float64(p.accepted+p.refused) / took.Seconds()
	}
	return fmt.Sprintf("%sin %.1f s (%.0f/s)", text, took.Seconds(), perSecond)
}

// clear removes the line, so that other text can be written there.
func (p *progress) clear() {
	if p.dirty {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.dirty = false
	}
}
