package workflows

import "go.temporal.io/sdk/temporal"

// SearchAttributes are the search attributes of the workflows. They must be registered before
// a workflow can start. In the Web UI: WebhookId="hook_…", EventType="user.created".
type SearchAttributes struct {
	EventID   temporal.SearchAttributeKeyKeywordList
	EventType temporal.SearchAttributeKeyKeyword
	WebhookID temporal.SearchAttributeKeyKeywordList
	TenantID  temporal.SearchAttributeKeyKeyword
}

// Attributes returns the search attributes with their names.
func Attributes() SearchAttributes {
	return SearchAttributes{
		EventID:   temporal.NewSearchAttributeKeyKeywordList("EventId"),
		EventType: temporal.NewSearchAttributeKeyKeyword("EventType"),
		WebhookID: temporal.NewSearchAttributeKeyKeywordList("WebhookId"),
		TenantID:  temporal.NewSearchAttributeKeyKeyword("TenantId"),
	}
}

// BuildID is the build id of the workers: the generation of the code in this package, not of
// the binary, so that the starter of a workflow knows it too (see builtBy).
const BuildID = "grapnel-1"

// builtBy sets the attribute BuildIds when a workflow starts. Otherwise the server sets it
// later, for which it may have to write the workflow's row in its visibility store a second
// time, with all indexes: a third of the visibility store's work.
func builtBy() temporal.SearchAttributeUpdate {
	return temporal.NewSearchAttributeKeyKeywordList("BuildIds").ValueSet([]string{"unversioned", "unversioned:" + BuildID})
}
