package e2e

import (
	"encoding/json"
	"slices"
	"strconv"
	"testing"
	"time"
)

// perSecond is the rate at which BenchmarkLatency publishes.
const perSecond = 20

// BenchmarkLatency measures the time from publish to receipt, and to the 202, on an otherwise idle stack:
//
//	go -C cmd/dev test -run '^$' -bench Latency -benchtime 600x ./e2e
func BenchmarkLatency(b *testing.B) {
	c := sharedAPI(b)
	r := newRecorder(b)
	_, eventType := c.webhook(r.URL, nil)
	sent, accepted := make([]time.Time, 0, b.N), make([]time.Duration, 0, b.N)
	ticker := time.NewTicker(time.Second / perSecond)
	defer ticker.Stop()
	for i := range b.N {
		begin := time.Now()
		c.publish(eventType, object{"i": i, "padding": padding})
		sent, accepted = append(sent, begin), append(accepted, time.Since(begin))
		<-ticker.C
	}
	waitFor(b, "all events", func() bool { return len(r.requests()) == b.N })
	received := make([]time.Duration, 0, b.N)
	for _, request := range r.requests() {
		var body struct{ Data struct{ I int } }
		if err := json.Unmarshal(request.Body, &body); err != nil {
			b.Fatal(err)
		}
		received = append(received, request.At.Sub(sent[body.Data.I]))
	}
	for name, times := range map[string][]time.Duration{"receipt": received, "202": accepted} {
		slices.Sort(times)
		for _, percent := range []int{50, 99} {
			at := times[min(len(times)*percent/100, len(times)-1)]
			b.ReportMetric(float64(at.Microseconds())/1000, "ms/"+name+"-p"+strconv.Itoa(percent))
		}
	}
	b.ReportMetric(0, "ns/op") // the publishing rate is fixed, so ns/op means nothing
}

// padding makes a body about 300 bytes long.
const padding = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna"
