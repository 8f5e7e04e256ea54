// Package contract holds what workflows, activities and their callers agree on: names, ids,
// inputs, results, types of errors and timeouts. It is a leaf: it imports internal/hook and
// the standard library only, so that a caller needs no Temporal for it. Its invariant: names,
// ids and JSON members never change, because histories in Temporal hold them.
package contract

import (
	"cmp"
	"time"

	"grapnel/internal/hook"
)

// TaskQueue is the task queue on which the workers listen.
const TaskQueue = "grapnel"

// Names under which workflows and activities are registered.
const (
	NameDeliver       = "Deliver"
	NameDeliverSlices = "DeliverSlices"
	NameSendNow       = "SendNow"
	NameDrain         = "Drain"
	NameReplay        = "Replay"
	NameDeleteTenant  = "DeleteTenant"

	ActivityDeliver      = "Deliver"
	ActivityDeliverFirst = "DeliverFirst"
	ActivitySendNow      = "SendNow"
	ActivityDrain        = "Drain"
	ActivityReplay       = "Replay"
	ActivityDeleteTenant = "DeleteTenant"
)

// Types of the application errors of activities and workflows.
const (
	// ErrorOutstanding asks for the next run of an activity, for its outstanding deliveries.
	ErrorOutstanding = "Outstanding"
	// ErrorOurs is a failure of Grapnel itself, such as of the store. It uses up none of a
	// delivery's attempts.
	ErrorOurs = "Ours"
	// ErrorRefused is final: there is nothing to send. Its details are the hook.Kind.
	ErrorRefused = "Refused"
	// ErrorLimited says that a delivery was not sent by hand because its webhook is over a
	// limit. Its details are a Limited.
	ErrorLimited = "Limited"
	// ErrorFailed is the error of a workflow some of whose deliveries failed for good. The
	// Web UI finds such workflows by their status, Failed.
	ErrorFailed = "DeliveryFailed"
)

const (
	// RunTimeout bounds one run of an activity: the longest request and the time to load and
	// record. A worker that has died is noticed after that time, and a claim that is older
	// belongs to a run that is over.
	RunTimeout = hook.MaxTimeout + 15*time.Second
	// SendNowPatience is how long a request by hand waits for a worker.
	SendNowPatience = 10 * time.Second
	// SendNowTimeout bounds a whole request by hand.
	SendNowTimeout = SendNowPatience + RunTimeout
)

// DeliverID returns the id of the workflow that delivers an event. It is the event's own id,
// so that no event can have two.
func DeliverID(e hook.EventID) string { return e.String() }

// BurstID returns the id of a workflow that several events share, of which e is the first. It
// is never the id of an event's own workflow.
func BurstID(e hook.EventID) string { return e.String() + "-burst" }

// SweptID returns the id of a workflow for events that a sweeper has put together, of which e
// is the first. The same event may be the first of several such workflows, one after the
// other, so each needs a token of its own.
func SweptID(e hook.EventID, token string) string { return e.String() + "-swept-" + token }

// SharedID returns the id of a workflow that events of several tenants share. Each tenant sees the
// id, so it has no event's id in it, only the token.
func SharedID(token string) string { return "shared-" + token }

// OverdueID returns the id of the workflow that should have delivered an overdue event.
func OverdueID(o hook.Overdue) string { return cmp.Or(o.WorkflowID, DeliverID(o.EventID)) }

// SendNowID returns the id of the workflow that sends one delivery by hand. One runs at a
// time; a second request joins the one that runs.
func SendNowID(d hook.DeliveryID) string { return d.String() }

// DrainID returns the id of the workflow that sends a webhook's deferred deliveries. One runs
// at a time.
func DrainID(w hook.WebhookID) string { return w.String() + "-drain" }

// DeletionID returns the id of the workflow that deletes a tenant. One runs at a time.
func DeletionID(t hook.TenantID) string { return t.String() + "-delete" }
