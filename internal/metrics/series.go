package metrics

import "sync"

// unknown is the value of a label for which a caller gave a value outside of the label's list. That is a defect of the
// caller, and it must be visible.
const unknown = "unknown"

// series has the metrics of one label, one for each value of the label's list. They exist from the start, so that the
// first event of a kind shows as an increase.
type series[V ~string, M any] struct {
	known   map[V]M
	unknown func() M
}

// newSeries makes the metrics of the listed values. The metric of unknown values is made when it is first needed.
func newSeries[V ~string, M any](values []V, makeMetric func(value string) M) series[V, M] {
	s := series[V, M]{known: map[V]M{}, unknown: sync.OnceValue(func() M { return makeMetric(unknown) })}
	for _, v := range values {
		s.known[v] = makeMetric(string(v))
	}
	return s
}

// of returns the metric of a value.
func (s *series[V, M]) of(value V) M {
	if m, ok := s.known[value]; ok {
		return m
	}
	return s.unknown()
}
