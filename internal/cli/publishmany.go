package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"golang.org/x/time/rate"

	grapnelapi "grapnel/clients/go"
)

// many publishes every line, batch by batch.
func (c *publishCommand) many(ctx context.Context, s Streams, client *grapnelapi.ClientWithResponses, in io.Reader, size int64) error {
	pace := rate.NewLimiter(rate.Inf, c.Batch)
	if c.Rate > 0 {
		pace.SetLimit(rate.Limit(c.Rate))
	}
	lines := &lineReader{in: in, batch: c.Batch, eventType: c.Type}
	meter := newProgress(s, size)
	defer meter.clear()
	for {
		batch, failed := lines.next()
		if len(batch) > 0 {
			if err := pace.WaitN(ctx, len(batch)); err != nil {
				return err
			}
			if err := c.send(ctx, s, client, batch, meter); err != nil {
				meter.clear()
				return fmt.Errorf("stopped at line %d, after %d events: %w; it is not known whether the %d events from that line on were published",
					batch[0].number, meter.accepted, err, len(batch))
			}
			meter.read = lines.read
			meter.show()
		}
		if failed == nil {
			continue
		}
		meter.clear()
		return c.end(s, meter, failed)
	}
}

// end prints how many events were published, and returns why publishing ended; nil at the end of the input.
func (c *publishCommand) end(s Streams, meter *progress, failed error) error {
	if !c.JSON {
		fmt.Fprintln(s.Out, meter.summary(time.Since(meter.began)))
	}
	switch {
	case failed != io.EOF: //nolint:errorlint // next returns it unwrapped
		return failf(codeWrong, "%w; %d events before it were published", failed, meter.accepted)
	case meter.refused > 0:
		return failf(codeNo, "%d events were refused", meter.refused)
	default:
		return nil
	}
}

// send publishes a batch and reports the result of each event.
func (c *publishCommand) send(ctx context.Context, s Streams, client *grapnelapi.ClientWithResponses, batch []line, meter *progress) error {
	request := []byte(`{"events":[`)
	for i, l := range batch {
		if i > 0 {
			request = append(request, ',')
		}
		request = append(request, l.event...)
	}
	request = append(request, `]}`...)
	published, err := take[struct {
		Results []json.RawMessage `json:"results"`
	}](client.PublishEventsWithBodyWithResponse(ctx, jsonType, bytes.NewReader(request)))
	if err != nil {
		return err
	}
	if len(published.value.Results) != len(batch) {
		return failf(codeOther, "the API answered for %d events of %d", len(published.value.Results), len(batch))
	}
	for i, raw := range published.value.Results {
		var result grapnelapi.PublishResult
		if err := json.Unmarshal(raw, &result); err != nil {
			return stranger(err)
		}
		if result.Error == nil {
			meter.accepted++
		} else {
			meter.refused++
		}
		if c.JSON {
			fmt.Fprintf(s.Out, "{\"line\":%d,%s\n", batch[i].number, bytes.TrimSpace(raw)[1:])
		} else if result.Error != nil {
			meter.clear()
			fmt.Fprintf(s.Err, "line %d: %s\n", batch[i].number, clean(result.Error.Error()))
		}
	}
	return nil
}
