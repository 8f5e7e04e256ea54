package hook

import "slices"

// Types of operational events: what happens to a tenant's webhooks and deliveries,
// published to those of its webhooks that name them.
const (
	TypeWebhookDisabled  = "webhook.disabled"
	TypeWebhookRecovered = "webhook.recovered"
	TypeDeliveryFailed   = "delivery.failed"
)

// OperationalEventTypes are the types of events that we publish ourselves and nobody
// else may. Patterns do not match them: a webhook that gets everything, or delivery.*,
// of a customer of the tenant's must not begin to be told of other customers'. They are
// not recursive either: that a delivery of one of them has failed is no event.
func OperationalEventTypes() []EventType {
	return []EventType{
		{Name: TypeWebhookDisabled, BuiltIn: true, Description: "A webhook was disabled because its endpoint answered 410, has only failed for 5 days, or failed a delivery for good"},
		{Name: TypeWebhookRecovered, BuiltIn: true, Description: "A webhook that had failed a delivery for good has answered with success again"},
		{Name: TypeDeliveryFailed, BuiltIn: true, Description: "A delivery failed for good: no attempt is to come"},
	}
}

// IsOperational reports whether the name is that of an operational event type.
func IsOperational(name string) bool {
	return slices.ContainsFunc(OperationalEventTypes(), func(t EventType) bool { return t.Name == name })
}
