package hook

import "slices"

// DeliverySearch selects deliveries of all webhooks of a tenant (A2). Zero values do not narrow it.
type DeliverySearch struct {
	WebhookID WebhookID
	// WebhookIDs are webhooks of which the delivery is for one, nil is any; Except are those that it is not for.
	WebhookIDs, Except []WebhookID
	// IDs are the deliveries of which it is one; nil is any.
	IDs []DeliveryID
	// States are the wanted states; a delivery has one of them.
	States []DeliveryState
	// StatusClass is the first digit of the last HTTP status, 2 to 5. From 3 on, deliveries that have succeeded are left out.
	StatusClass int
	// Class is the class of the last attempt's failure, of deliveries that have not succeeded.
	Class ErrorClass
	// EventType is a type, or a pattern of types.
	EventType string
	// EventTypes are several of them, of which one must match; empty is any.
	EventTypes []string
	// Reference is one of the event's references (A1).
	Reference string
	// Final wants deliveries without an attempt to come (true) or with one (false).
	Final *bool
	// Undelivered wants deliveries that have ended without success.
	Undelivered bool
	// May limits the list to what the client may read.
	May Readable
}

// Wanted returns the states that a delivery can have to meet every condition; none if the conditions contradict each
// other. StateSending counts as pending: clients see it so.
func (s *DeliverySearch) Wanted() []DeliveryState {
	unsuccessful := []DeliveryState{StateFailed, StateCanceled, StateTimedOut, StateDropped}
	wanted := DeliveryStates()
	keep := func(states ...DeliveryState) {
		wanted = slices.DeleteFunc(wanted, func(state DeliveryState) bool { return !slices.Contains(states, state) })
	}
	if len(s.States) > 0 {
		asked := s.States
		if slices.Contains(asked, StatePending) {
			asked = append(slices.Clone(asked), StateSending)
		}
		keep(asked...)
	}
	switch {
	case s.Final == nil:
	case *s.Final:
		keep(append(unsuccessful, StateSuccess)...)
	default:
		keep(StatePending, StateSending, StateFailed)
	}
	if s.Undelivered || s.Class != ClassNone || s.StatusClass > 2 {
		keep(unsuccessful...)
	}
	if s.StatusClass == 2 {
		keep(StateSuccess)
	}
	if s.Undelivered && s.Final != nil && !*s.Final {
		return nil
	}
	return wanted
}

// Ended returns whether the deliveries must have ended (true) or not (false); nil if both will do.
func (s *DeliverySearch) Ended() *bool {
	if s.Undelivered {
		ended := true
		return &ended
	}
	return s.Final
}

// Types returns the patterns of types of which the event's must match one; none is any.
func (s *DeliverySearch) Types() []string {
	if s.EventType != "" {
		return []string{s.EventType}
	}
	return s.EventTypes
}
