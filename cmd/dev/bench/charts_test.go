package bench_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/bench"
)

func TestChartsAreXML(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]bench.Result{
		"empty":        {},
		"escaped":      {Case: `<&"'>`, Accepted: []int{1}, Received: []int{0}},
		"flat":         {Accepted: []int{0, 0}, Received: []int{0, 0}},
		"many":         {Accepted: make([]int, 500), Received: []int{100_000}},
		"fast or slow": {Accept: bench.NewLatency([]time.Duration{0, time.Nanosecond}), Receive: bench.NewLatency([]time.Duration{time.Hour})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, svg := range []string{bench.RateChart(&r), bench.LatencyChart(&r)} {
				require.Equal(t, 2, elements(t, svg)["polyline"])
				require.NotContains(t, svg, "NaN")
				require.NotContains(t, svg, "Inf")
				require.Less(t, len(svg), 50_000)
			}
		})
	}
}

// elements counts the elements of a document, which must be well-formed.
func elements(t *testing.T, text string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return counts
		}
		require.NoError(t, err, "%s", text)
		if start, ok := token.(xml.StartElement); ok {
			counts[start.Name.Local]++
		}
	}
}
