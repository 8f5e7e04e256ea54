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

func TestSoakChartsHaveALineForEach(t *testing.T) {
	t.Parallel()
	empty := bench.Result{Case: bench.CaseSoak, Soak: &bench.Soak{}}
	full := bench.Result{Case: bench.CaseSoak, Soak: &bench.Soak{
		Minutes: []bench.Minute{{Minute: 1, Deliveries: 1, P50: 1, P99: 2}, {Minute: 2}, {Minute: 3, Deliveries: 1, P50: 1, P99: 200}},
		Samples: []bench.Sample{{Memory: map[string]float64{"grapnel": 80, "temporal": 200}}, {Seconds: 90, Memory: map[string]float64{"grapnel": 81}}},
	}}
	for _, r := range []*bench.Result{&empty, &full} {
		require.Equal(t, 2, elements(t, bench.SoakLatencyChart(r))["polyline"])
		require.Equal(t, len(r.Soak.Samples), elements(t, bench.SoakMemoryChart(r))["polyline"])
		require.NotContains(t, bench.SoakLatencyChart(r)+bench.SoakMemoryChart(r), "NaN")
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
