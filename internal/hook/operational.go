package hook

import "slices"

// Types of operational events. They report what happens to a tenant's webhooks and deliveries, to the tenant's webhooks
// that subscribe to them by name.
const (
	TypeWebhookDisabled  = "webhook.disabled"
	TypeWebhookRecovered = "webhook.recovered"
	TypeDeliveryFailed   = "delivery.failed"
)

// OperationalEventTypes returns the types of events that only Grapnel itself publishes. Patterns do not match them: if
// a webhook with the pattern * or delivery.* belongs to one customer of the tenant, it must not be sent what concerns
// other customers. They are not recursive either: the failed delivery of an operational event publishes no event.
func OperationalEventTypes() []EventType {
	return []EventType{
		{Name: TypeWebhookDisabled, BuiltIn: true, Shared: true, Description: "A webhook was disabled because its endpoint answered 410, has only failed for 5 days, or failed a delivery for good"},
		{Name: TypeWebhookRecovered, BuiltIn: true, Shared: true, Description: "A webhook that had failed a delivery for good has answered with success again"},
		{Name: TypeDeliveryFailed, BuiltIn: true, Shared: true, Description: "A delivery failed for good: no attempt is to come"},
	}
}

// IsOperational reports whether the name is an operational event type.
func IsOperational(name string) bool {
	return slices.ContainsFunc(OperationalEventTypes(), func(t EventType) bool { return t.Name == name })
}
