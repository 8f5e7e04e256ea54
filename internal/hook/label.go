package hook

// Label describes a workflow's subject in the Temporal Web UI. The zero value stands for a
// subject that is gone or could not be looked up.
type Label struct {
	TenantID TenantID
	// Tenant is the tenant's name.
	Tenant    string
	WebhookID WebhookID
	// Webhook is where the webhook's requests go: its host, and of a Momento webhook its
	// cache and name before that.
	Webhook string
}
