package hook

import "slices"

// SampleData returns canonical JSON for a test delivery of the type (S11). Built-in types have examples of their own,
// and the tenant's own types a plain object.
func SampleData(eventType string) []byte {
	user := `{"id":"user_123","name":"John Doe","email":"john@example.com","status":"active"}`
	project := `{"id":"project_123","name":"Example project","status":"active"}`
	payment := `{"id":"payment_123","amount":4200,"currency":"USD","customer_id":"user_123"}`
	switch eventType {
	case "user.created", "user.updated", "user.deleted":
		return []byte(user)
	case "project.created", "project.updated", "project.deleted":
		return []byte(project)
	case "file.uploaded":
		return []byte(`{"id":"file_123","name":"report.pdf","size":48213,"content_type":"application/pdf"}`)
	case "payment.succeeded", "payment.failed":
		return []byte(payment)
	case TypeWebhookDisabled:
		return []byte(`{"webhook_id":"hook_01kab1s6rzfkqbzry2kztmfpx1","host":"yourapp.com","reason":"gone","disabled_at":"2026-01-15T12:30:00Z"}`)
	case TypeWebhookRecovered:
		return []byte(`{"webhook_id":"hook_01kab1s6rzfkqbzry2kztmfpx1","host":"yourapp.com","failing_since":"2026-01-15T12:30:00Z","recovered_at":"2026-01-15T14:30:00Z"}`)
	case TypeDeliveryFailed:
		return []byte(`{"delivery_id":"del_01kab1s6rzfkqbzry2kztmfpx1","event_id":"evt_01kab1s6rzfkqbzry2kztmfpx1","event_type":"user.created","webhook_id":"hook_01kab1s6rzfkqbzry2kztmfpx1","status":"failed","attempts":5,"status_code":500,"error":"HTTP 500 Internal Server Error","created_at":"2026-01-15T12:30:00Z","failed_at":"2026-01-15T15:05:31Z"}`)
	default:
		return []byte(`{"test":true,"message":"This is a test event."}`)
	}
}

// SampleText returns the message for a test of a Momento webhook, as a JSON string.
func SampleText() []byte { return []byte(`"This is a test message."`) }

// SampleType returns the event type of a test that names none: the webhook's first exact type, or one that matches its
// patterns. A test never sends an operational event: a webhook that subscribes to nothing else gets a built-in type.
func SampleType(w *Webhook) string {
	events := slices.DeleteFunc(slices.Clone(w.Events), IsOperational)
	if w.Profile == ProfileMomento {
		events = w.Events // topics can have any name, also that of an operational type
	}
	for _, e := range events {
		if !IsWildcard(e) || w.Profile == ProfileCommenda || w.Profile == ProfileMomento {
			return e
		}
	}
	for _, t := range BuiltInEventTypes() {
		if Matches(events, t.Name) {
			return t.Name
		}
	}
	if len(events) > 0 && events[0] != "*" {
		return events[0][:len(events[0])-1] + "test"
	}
	return BuiltInEventTypes()[0].Name
}
