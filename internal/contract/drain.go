package contract

import "grapnel/internal/hook"

// DrainInput is the input of the workflow and the activity Drain: the webhook whose deferred
// deliveries are to be sent.
type DrainInput struct {
	WebhookID hook.WebhookID `json:"webhook_id"`
}

// DrainResult counts the states in which the deferred deliveries ended.
type DrainResult struct {
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Canceled  int `json:"canceled"`
	// FirstFailed describes the first delivery that failed for good, for a person.
	FirstFailed string `json:"first,omitempty"`
}
