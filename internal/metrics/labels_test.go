package metrics_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/metrics"
	"grapnel/internal/metrics/measure"
)

// Every value that a package can count has its series from the start.
func TestEveryLabelValueIsThereFromTheStart(t *testing.T) {
	t.Parallel()
	_, text := scrape(t, metrics.New(), "/metrics")
	for _, by := range measure.StartedByValues() {
		requireLines(t, text, fmt.Sprintf(`grapnel_workflows_started_total{by=%q} 0`, by), fmt.Sprintf(`grapnel_workflows_events_total{by=%q} 0`, by),
			fmt.Sprintf(`grapnel_workflows_start_failures_total{by=%q} 0`, by))
	}
	for _, group := range measure.Groups() {
		requireLines(t, text, fmt.Sprintf(`grapnel_group_rows_count{group=%q} 0`, group))
	}
	for _, state := range hook.DeliveryStates() {
		if line := fmt.Sprintf(`grapnel_deliveries_ended_total{state=%q} 0`, state); state == hook.StatePending || state == hook.StateSending {
			require.NotContains(t, text, line)
		} else {
			requireLines(t, text, line)
		}
	}
	for _, kind := range hook.Kinds() {
		if line := fmt.Sprintf(`grapnel_events_refused_total{reason=%q} 0`, kind); kind == hook.KindUnavailable || kind == hook.KindInternal {
			require.NotContains(t, text, line)
		} else {
			requireLines(t, text, line)
		}
	}
	for _, profile := range hook.Profiles() {
		requireLines(t, text, fmt.Sprintf(`grapnel_attempts_duration_seconds_count{profile=%q} 0`, profile))
		for _, outcome := range hook.OutcomeClasses() {
			requireLines(t, text, fmt.Sprintf(`grapnel_attempts_total{outcome=%q,profile=%q} 0`, outcome, profile))
		}
	}
	require.NotContains(t, text, "unknown")
}

// A value outside of its list is a defect. It is counted under the label value "unknown", and not dropped.
func TestUnknownLabelValuesAreCountedAsSuch(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	m.Started("somebody", 3, nil)
	m.Started("somebody else", 1, errors.New("no"))
	m.Grouped("something", 5, 0, 0)
	m.Ended(hook.StatePending, 2)
	m.Refused(hook.KindInternal, 4)
	m.Attempted(job("profile of tomorrow", time.Now()), &hook.Attempt{Number: 1, StatusCode: 200, StartedAt: time.Now()})
	m.Attempted(job(hook.ProfileStandard, time.Now()), &hook.Attempt{Number: 2, Class: "class of tomorrow", StartedAt: time.Now()})
	_, text := scrape(t, m, "/metrics")
	requireLines(t, text,
		`grapnel_workflows_events_total{by="unknown"} 3`, `grapnel_workflows_start_failures_total{by="unknown"} 1`,
		`grapnel_group_rows_sum{group="unknown"} 5`, `grapnel_deliveries_ended_total{state="unknown"} 2`,
		`grapnel_events_refused_total{reason="unknown"} 4`,
		`grapnel_attempts_total{outcome="success",profile="unknown"} 1`, `grapnel_attempts_total{outcome="unknown",profile="standard"} 1`,
	)
	require.NotContains(t, text, `="some`)
	require.NotContains(t, text, "tomorrow")
}

// A nil *Metrics counts nothing: every method can be called.
func TestNilMetrics(t *testing.T) {
	t.Parallel()
	var m *metrics.Metrics
	arguments := map[reflect.Type]reflect.Value{
		reflect.TypeFor[*slog.Logger]():            reflect.ValueOf(slog.New(slog.DiscardHandler)),
		reflect.TypeFor[*hook.Job]():               reflect.ValueOf(job(hook.ProfileStandard, time.Now())),
		reflect.TypeFor[*hook.Attempt]():           reflect.ValueOf(&hook.Attempt{}),
		reflect.TypeFor[func() int]():              reflect.ValueOf(func() int { return 0 }),
		reflect.TypeFor[func() metrics.PoolStat](): reflect.ValueOf(func() metrics.PoolStat { return pool{} }),
	}
	v := reflect.ValueOf(m)
	require.Greater(t, v.NumMethod(), 15)
	for i := range v.NumMethod() {
		method := v.Method(i)
		var in []reflect.Value
		for n := range method.Type().NumIn() {
			argument, ok := arguments[method.Type().In(n)]
			if !ok {
				argument = reflect.Zero(method.Type().In(n))
			}
			in = append(in, argument)
		}
		require.NotPanics(t, func() { method.Call(in) }, v.Type().Method(i).Name)
	}
	status, _ := scrape(t, m, "/metrics")
	require.Equal(t, http.StatusNotFound, status)
	m.Temporal().WithTags(nil).Counter("any").Inc(1)
}
