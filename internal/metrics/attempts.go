package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"grapnel/internal/hook"
)

// attemptMetrics measure requests to receivers.
type attemptMetrics struct {
	inFlight prometheus.Gauge
	notSent  prometheus.Counter
	// immediate and left count events by where their first attempts are made.
	immediate, left prometheus.Counter
	profiles        series[hook.Profile, profileMetrics]
}

// profileMetrics are the attempt metrics of one profile.
type profileMetrics struct {
	outcomes     series[hook.OutcomeClass, prometheus.Counter]
	duration     prometheus.Observer
	firstAttempt prometheus.Observer
}

func (r *registry) attemptMetrics() attemptMetrics {
	outcomes := r.counters("attempts", "total", "Requests made to receivers, by outcome. Tests and requests made by hand are included.", "profile", "outcome")
	duration := r.histograms("attempts", "duration_seconds", "Duration of requests to receivers, from the DNS look-up to the end of the response.",
		[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30}, "profile")
	firstAttempt := r.histograms("deliveries", "first_attempt_delay_seconds", "Time from the publish of an event to the start of a delivery's first attempt.",
		[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600}, "profile")
	first := r.counters("events", "first_attempts_total", "Events accepted by a process with API and worker, by what makes their first attempts: the process at the commit, or the workflow, for want of room or of a lease.", "by")
	return attemptMetrics{
		immediate: first.WithLabelValues("process"), left: first.WithLabelValues("workflow"),
		inFlight: r.gauge("attempts", "in_flight", "Requests to receivers that are under way."),
		notSent:  r.counter("attempts", "not_made_total", "Requests that could not be made because of a failure in Grapnel. They do not count as attempts."),
		profiles: newSeries(hook.Profiles(), func(profile string) profileMetrics {
			return profileMetrics{
				outcomes: newSeries(hook.OutcomeClasses(), func(outcome string) prometheus.Counter {
					return outcomes.WithLabelValues(profile, outcome)
				}),
				duration: duration.WithLabelValues(profile), firstAttempt: firstAttempt.WithLabelValues(profile),
			}
		}),
	}
}

// Sending adds n to the number of requests under way. n is negative when requests end.
func (m *Metrics) Sending(n int) {
	if m != nil {
		m.attempts.inFlight.Add(float64(n))
	}
}

// NotSent counts a request that could not be made because of a failure in Grapnel.
func (m *Metrics) NotSent() {
	if m != nil {
		m.attempts.notSent.Inc()
	}
}

// Immediate counts an event whose first attempts were begun at the commit, or left to its workflow.
func (m *Metrics) Immediate(began bool) {
	switch {
	case m == nil:
	case began:
		m.attempts.immediate.Inc()
	default:
		m.attempts.left.Inc()
	}
}

// Attempted counts a request that was made.
func (m *Metrics) Attempted(job *hook.Job, sent *hook.Attempt) {
	if m == nil {
		return
	}
	p := m.attempts.profiles.of(job.Webhook.Profile)
	p.outcomes.of(sent.Outcome()).Inc()
	p.duration.Observe(sent.Duration.Seconds())
	if sent.Number == 1 && !sent.Manual && !job.Delivery.Test {
		// The duration is never negative: the clock of the publishing process may be ahead.
		p.firstAttempt.Observe(max(sent.StartedAt.Sub(job.Event.CreatedAt).Seconds(), 0))
	}
}
