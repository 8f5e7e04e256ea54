// Package workflows holds the workflows, their names and options, and the retry
// policy that encodes the schedule. It is deterministic: no clock, no randomness,
// no I/O; whatever touches the world is an activity. Inputs carry ids and what a
// person reads in the Temporal Web UI, never payloads or secrets.
package workflows

import (
	"cmp"

	"go.temporal.io/sdk/temporal"

	"grapnel/internal/hook"
)

// TaskQueue is where the workers listen.
const TaskQueue = "grapnel"

// Registered names; histories in Temporal refer to them, so they never change.
const (
	NameDeliver       = "Deliver"
	NameDeliverSlices = "DeliverSlices"
	NameSendNow       = "SendNow"
	NameDrain         = "Drain"
	NameReplay        = "Replay"

	ActivityDeliver      = "Deliver"
	ActivityDeliverFirst = "DeliverFirst"
	ActivitySendNow      = "SendNow"
	ActivityDrain        = "Drain"
	ActivityReplay       = "Replay"
)

// BuildID is what workers say they are: the generation of the code in this package, not
// the binary, so that whoever starts a workflow knows it too (see builtBy).
const BuildID = "grapnel-1"

// DeliverID is the id of the workflow that delivers an event: the event's own,
// so that no event can be delivered by two.
func DeliverID(e hook.EventID) string { return e.String() }

// BurstID is the id of a workflow that events share, the first of which is e. No
// event's own workflow has such an id.
func BurstID(e hook.EventID) string { return e.String() + "-burst" }

// SweptID is BurstID for events that a sweeper has put together. The same event may be the
// first for several, which name the others in turn, so the token must be one's own.
func SweptID(e hook.EventID, token string) string { return e.String() + "-swept-" + token }

// OverdueID is the id of the workflow that is to deliver what is overdue.
func OverdueID(o hook.Overdue) string { return cmp.Or(o.WorkflowID, DeliverID(o.EventID)) }

// SendNowID is the id of the workflow that sends one delivery by hand. One runs
// at a time; a second request while it does joins it.
func SendNowID(d hook.DeliveryID) string { return d.String() }

// SearchAttributes are the attributes of workflows that deliver or send; they
// must be registered before one can start. In the Web UI:
// WebhookId="hook_…", EventType="user.created".
type SearchAttributes struct {
	EventID   temporal.SearchAttributeKeyKeywordList
	EventType temporal.SearchAttributeKeyKeyword
	WebhookID temporal.SearchAttributeKeyKeywordList
	TenantID  temporal.SearchAttributeKeyKeyword
}

// builtBy says which workers will have handled a workflow, before one has. The server
// adds that to every workflow by itself (the attribute BuildIds), and where it has to, it
// writes the workflow's row in its visibility store once more, over all of the indexes:
// a third of what the store has to do.
func builtBy() temporal.SearchAttributeUpdate {
	return temporal.NewSearchAttributeKeyKeywordList("BuildIds").ValueSet([]string{"unversioned", "unversioned:" + BuildID})
}

// Attributes names the search attributes.
func Attributes() SearchAttributes {
	return SearchAttributes{
		EventID:   temporal.NewSearchAttributeKeyKeywordList("EventId"),
		EventType: temporal.NewSearchAttributeKeyKeyword("EventType"),
		WebhookID: temporal.NewSearchAttributeKeyKeywordList("WebhookId"),
		TenantID:  temporal.NewSearchAttributeKeyKeyword("TenantId"),
	}
}

// ErrorFailed is the type of the error of a workflow some of whose deliveries
// failed for good, which the Web UI finds by its status, Failed.
const ErrorFailed = "DeliveryFailed"
