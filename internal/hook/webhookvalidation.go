package hook

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Validate reports every wrong value of the webhook at once, with its place in the request's body. It does not check
// whether the event types exist, nor whether the destination is allowed.
func (w *Webhook) Validate() error {
	var v violations
	if problem := w.URLProblem(); problem != "" {
		v.add("body.url", shown(w.URL), "%s", problem)
	}
	w.validateEvents(&v)
	w.validateSecret(&v)
	w.validateSchemes(&v)
	w.validateHeaders(&v)
	if utf8.RuneCountInString(w.Description) > 1000 || !cleanText(w.Description) {
		v.add("body.description", nil, "must be at most 1000 characters, without control characters")
	}
	most := MaxTimeout
	if w.Profile == ProfileMomento {
		most = w.Profile.DefaultTimeout() // M7: without an answer by then, the message is dropped
	}
	if w.Timeout < time.Second || w.Timeout > most {
		v.add("body.timeout_seconds", w.Timeout.Seconds(), "must be 1 to %v", most.Seconds())
	}
	switch most := w.Profile.DefaultAttempts(); {
	case most == 1 && w.MaxAttempts != 1:
		v.add("body.max_attempts", w.MaxAttempts, "must be 1: a message is never sent twice")
	case w.MaxAttempts < 1 || w.MaxAttempts > most:
		v.add("body.max_attempts", w.MaxAttempts, "must be 1 to %d", most)
	}
	if w.RateLimit < 0 || w.RateLimit > MaxRateLimit {
		v.add("body.rate_limit", w.RateLimit, "must be 1 to %d requests per second", MaxRateLimit)
	}
	if w.TraceContext && w.Profile != ProfileStandard {
		v.add("body.trace_context", true, "only standard webhooks can have it: requests of the others have the headers of the system they stand for")
	}
	if w.Profile == ProfileMomento && w.Cache == "" {
		v.add("body.profile", string(w.Profile), "momento webhooks belong to a cache: PUT /caches/{cacheName}/webhooks/{webhookName}")
	}
	return v.err()
}

func (w *Webhook) validateEvents(v *violations) {
	noun := "event type"
	if w.Profile == ProfileCommenda {
		noun = "topic"
	}
	switch {
	case w.Profile == ProfileMomento && len(w.Events) != 1:
		v.add("body.events", nil, "must name exactly one topic")
		return
	case len(w.Events) == 0:
		v.add("body.events", nil, "must name at least one %s", noun)
	case len(w.Events) > MaxEvents:
		v.add("body.events", nil, "must name at most %d %ss", MaxEvents, noun)
		return
	}
	for i, e := range w.Events {
		if problem := w.eventProblem(e); problem != "" {
			v.add(indexed("body.events", i), shown(e), "%s", problem)
		}
	}
}

func (w *Webhook) eventProblem(event string) string {
	switch w.Profile {
	case ProfileCommenda:
		return TopicProblem(event)
	case ProfileMomento:
		if event != TrimName(event) {
			return "must not be surrounded by spaces"
		}
		return NameProblem(event)
	case ProfileStandard:
	}
	return PatternProblem(event)
}

func (w *Webhook) validateSecret(v *violations) {
	s := w.Secret.Reveal()
	if s == "" || utf8.RuneCountInString(s) > MaxSecretLength || !cleanText(s) {
		v.add("body.secret", nil, "must be 1 to %d characters without control characters", MaxSecretLength)
	}
}

// NewSecretProblem describes what is wrong with a secret that a client chooses; "" if it is valid. Secrets that were
// stored by older versions may be shorter.
func NewSecretProblem(s string) string {
	if n := utf8.RuneCountInString(s); n < MinSecretLength || n > MaxSecretLength || !cleanText(s) || strings.TrimSpace(s) != s {
		return fmt.Sprintf("must be %d to %d characters without control characters or spaces at its ends", MinSecretLength, MaxSecretLength)
	}
	return ""
}

// TopicProblem describes what is wrong with a Commenda topic, a free-form string (C1); "" if it is valid.
func TopicProblem(topic string) string {
	if topic == "" || utf8.RuneCountInString(topic) > MaxTypeLength || !cleanText(topic) || strings.TrimSpace(topic) != topic {
		return "must be 1 to 128 characters without control characters or surrounding spaces"
	}
	return ""
}
