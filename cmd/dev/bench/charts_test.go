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

func TestCurveChartsHaveALineForEach(t *testing.T) {
	t.Parallel()
	charts := bench.CurveCharts(curveReport())
	require.Len(t, charts, 3)
	for name, lines := range map[string]int{"latency": 2, "cpu": 4, "workflows": 1} {
		svg := charts[name]
		count := elements(t, svg)
		require.Equal(t, lines, count["polyline"], name)
		require.Equal(t, 2*lines, count["circle"], "%s: a mark for each rate", name)
		require.Contains(t, svg, ">1600<", "%s: the rates are the labels of the axis", name)
		require.NotContains(t, svg, "NaN")
		requireApart(t, svg)
	}
	require.Empty(t, bench.CurveCharts(&bench.Report{}))
}

func TestCurveChartsOfAnyRates(t *testing.T) {
	t.Parallel()
	for name, rates := range map[string][]float64{
		"default": {20, 50, 100, 200, 400, 800, 1600}, "one": {20}, "near": {100, 101, 102, 5000}, "small": {0.5, 1}, "large": {10_000, 20_000, 40_000},
	} {
		r := bench.Report{}
		for _, rate := range rates {
			r.Results = append(r.Results, bench.Result{Receive: bench.Latency{P50: 1, P99: 12_345}, Point: &bench.Point{Rate: rate}})
		}
		for _, svg := range bench.CurveCharts(&r) {
			require.NotContains(t, svg, "NaN", name)
			require.NotContains(t, svg, "Inf", name)
			requireApart(t, svg)
		}
	}
}

func TestTenantsChartHasABarForEach(t *testing.T) {
	t.Parallel()
	r := bench.Report{Results: []bench.Result{
		{Case: "tenants alone", Receive: bench.Latency{P50: 9, P99: 14}}, {Case: bench.CaseTenants, Receive: bench.Latency{P50: 1234, P99: 2345}},
	}}
	svg := bench.TenantsChart(&r)
	require.Equal(t, 5, elements(t, svg)["rect"], "the paper and four bars")
	for _, value := range []string{">9.00<", ">14.0<", ">1234<", ">2345<"} {
		require.Contains(t, svg, value)
	}
	requireApart(t, svg)
	require.Empty(t, bench.TenantsChart(&bench.Report{Results: r.Results[1:]}))
}

// requireApart requires that no two texts of a chart overlap, and that all are inside. A character takes at most 7.2
// pixels of 12 on average, and 8.4 of 14.
func requireApart(t *testing.T, svg string) {
	t.Helper()
	var document struct {
		Texts []struct {
			X         float64 `xml:"x,attr"`
			Y         float64 `xml:"y,attr"`
			Size      float64 `xml:"font-size,attr"`
			Anchor    string  `xml:"text-anchor,attr"`
			Transform string  `xml:"transform,attr"`
			Text      string  `xml:",chardata"`
		} `xml:"text"`
	}
	require.NoError(t, xml.Unmarshal([]byte(svg), &document))
	type box struct {
		left, right, top, bottom float64
		text                     string
	}
	var boxes []box
	for _, text := range document.Texts {
		if text.Transform != "" || text.Text == "" {
			continue // the title of the y axis has a column of its own
		}
		size := max(text.Size, 12)
		width := 0.6 * size * float64(len(text.Text))
		left := text.X - width*map[string]float64{"middle": 0.5, "end": 1}[text.Anchor]
		b := box{left, left + width, text.Y - 0.75*size, text.Y + 0.25*size, text.Text}
		require.Greater(t, b.left, 20.0, "%q is left of the chart or on the axis's title", b.text)
		require.Less(t, b.right, 640.0, "%q is right of the chart", b.text)
		for _, other := range boxes {
			apart := b.left >= other.right || b.right <= other.left || b.top >= other.bottom || b.bottom <= other.top
			require.True(t, apart, "%q overlaps %q", b.text, other.text)
		}
		boxes = append(boxes, b)
	}
}
