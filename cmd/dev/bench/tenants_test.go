package bench_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/bench"
)

func TestTenantsAreMeasuredApart(t *testing.T) {
	t.Parallel()
	spec := setupScale(t, bench.CaseTenants)
	spec.Flood, spec.Publishers = 250, 16
	rows, err := bench.Run(t.Context(), spec)
	require.NoError(t, err)
	require.Len(t, rows, 3)
	alone, beside, flood := rows[0], rows[1], rows[2]
	for _, r := range rows {
		require.False(t, r.Failed(), "%+v", r)
		require.Empty(t, r.Errors)
		require.Equal(t, r.Events, r.Deliveries)
	}
	require.Equal(t, []string{"tenants alone", "tenants", "tenants flood"}, []string{alone.Case, beside.Case, flood.Case})
	require.Equal(t, 1, alone.Events, "5 a second for a tenth of one")
	require.Positive(t, beside.Events, "the first event of the quiet tenant is due when the flood begins")
	require.Equal(t, 250, flood.Events, "two batches of 100 and one of 50")
	require.Positive(t, beside.Ratio)
	require.Positive(t, beside.RatioP50)
	require.Empty(t, beside.CPU)
	require.Contains(t, flood.Note, "250 events in batches of 100")
}

func TestTenantsFailIfNoBatchIsAccepted(t *testing.T) {
	t.Parallel()
	spec := setupScale(t, bench.CaseTenants)
	spec.Flood = 1
	fake := newFakeGrapnel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/events/batch" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	spec.Targets = []string{server.URL}
	_, err := bench.Run(t.Context(), spec)
	require.ErrorContains(t, err, "no batch of the flood was accepted")
}

func TestReportTellsOfTheTenants(t *testing.T) {
	t.Parallel()
	r := bench.Report{Results: []bench.Result{
		{Case: "tenants alone", Seconds: 1, CPU: map[string]float64{"grapnel": 1}},
		{Case: bench.CaseTenants, Seconds: 1},
	}}
	var b strings.Builder
	require.NoError(t, r.Write(&b))
	require.Regexp(t, `tenants alone .* 1\.00 `, b.String())
	require.Regexp(t, `tenants  .* - +0\.0 +0 +0 +0`, b.String(), "processor time that was not measured is not zero")
}

// Each event is of the next tenant, and arrives at that tenant's webhook alone.
func TestManyTenantsInTurn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{bench.CaseSaturation, bench.CaseBatch} {
		spec := setupScale(t, name)
		spec.Tenants = 7
		rows, err := bench.Run(t.Context(), spec)
		require.NoError(t, err)
		require.Len(t, rows, 1)
		require.False(t, rows[0].Failed(), "%+v", rows[0])
		require.Empty(t, rows[0].Errors)
		require.Greater(t, rows[0].Events, 7)
		require.Equal(t, rows[0].Events, rows[0].Deliveries)
		require.Contains(t, rows[0].Note, "7 tenants in turn")
	}
}
