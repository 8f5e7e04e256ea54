package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"grapnel/internal/hook"
)

// attemptMetrics are those of requests to receivers.
type attemptMetrics struct {
	inFlight prometheus.Gauge
	notSent  prometheus.Counter
	profiles map[hook.Profile]*profileMetrics
}

type profileMetrics struct {
	outcomes        map[hook.OutcomeClass]prometheus.Counter
	duration, first prometheus.Observer
}

func (r *registry) attemptMetrics() attemptMetrics {
	outcomes := r.counters("attempts", "total", "Requests made to receivers, tests and those by hand too, by what came of them.", "profile", "outcome")
	duration := r.histograms("attempts", "duration_seconds", "How long requests to receivers took, from the DNS look-up to the end of the answer.",
		[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30}, "profile")
	first := r.histograms("deliveries", "first_attempt_delay_seconds", "How long after its publish the first attempt of a delivery began.",
		[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600}, "profile")
	a := attemptMetrics{
		inFlight: r.gauge("attempts", "in_flight", "Requests to receivers that are under way."),
		notSent:  r.counter("attempts", "not_made_total", "Requests that could not be made for a reason of ours; they use up no attempt."),
		profiles: map[hook.Profile]*profileMetrics{},
	}
	for _, p := range []hook.Profile{hook.ProfileStandard, hook.ProfileMomento, hook.ProfileCommenda} {
		m := &profileMetrics{
			outcomes: map[hook.OutcomeClass]prometheus.Counter{},
			duration: duration.WithLabelValues(string(p)), first: first.WithLabelValues(string(p)),
		}
		for _, outcome := range hook.OutcomeClasses() {
			m.outcomes[outcome] = outcomes.WithLabelValues(string(p), string(outcome))
		}
		a.profiles[p] = m
	}
	return a
}

// Sending counts requests that begin, and by a negative number those that end.
func (m *Metrics) Sending(n int) { m.attempts.inFlight.Add(float64(n)) }

// NotSent counts a request that we could not make.
func (m *Metrics) NotSent() { m.attempts.notSent.Inc() }

// Attempted counts a request that was made.
func (m *Metrics) Attempted(job *hook.Job, sent *hook.Attempt) {
	p := m.attempts.profiles[job.Webhook.Profile]
	if p == nil {
		return
	}
	if c := p.outcomes[sent.Outcome()]; c != nil {
		c.Inc()
	}
	p.duration.Observe(sent.Duration.Seconds())
	if sent.Number == 1 && !sent.Manual && !job.Delivery.Test {
		p.first.Observe(max(sent.StartedAt.Sub(job.Event.CreatedAt).Seconds(), 0)) // the publisher's clock may be ahead
	}
}
