package crash

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"grapnel/internal/hook"
)

const (
	// ownerOver is the longest time after the SIGSTOP of a process until another begins to make its first attempts.
	ownerOver = 10 * time.Second
	// unrecorded is the longest time for which a request that was answered may wait for its record.
	unrecorded = time.Second
	// lostTask is how much longer a first attempt may take whose workflow task Temporal hands to the process that stands
	// still: until the task's time-out (20 s, workflows.inlineTaskTimeout), when another worker gets it. lostTasks is
	// the largest number of deliveries for which that may happen: those of the polls that wait at Temporal at the stop.
	lostTask  = 25 * time.Second
	lostTasks = 8
	// ownedRef begins the references of the events that only the process has accepted which will stand still.
	ownedRef = "owned."
)

// checkAway checks that first attempts did not wait for Temporal, and that retries came soon after its return.
func (o *oracle) checkAway(s *Struck) {
	away := s.Held[1].Sub(s.Held[0])
	first, retries := bounded{bound: moment}, bounded{bound: max(away, beginAnew)}
	var took []time.Duration
	for id, e := range o.byID {
		p := o.published[e.Ref()]
		if p == nil || !p.Accepted || p.Begin.Before(s.Held[0]) || p.At.After(s.Held[1]) {
			continue
		}
		for _, d := range o.deliveries[id] {
			at := o.firstRequest(d, p.Ref)
			first.add(p.Begin, at)
			if !at.IsZero() {
				took = append(took, at.Sub(p.Begin))
			}
			if list := o.attempts[d.ID]; len(list) > 1 {
				retries.add(s.Held[1], list[1].StartedAt)
			}
		}
	}
	o.judge(RuleLate, &first, s, "first attempts")
	o.judge(RuleLate, &retries, s, "retries after Temporal's return")
	if first.n == 0 || retries.n == 0 {
		o.violated(RuleLate, "%s: %d first attempts and %d retries say nothing", s.name(), first.n, retries.n)
	}
	slices.Sort(took)
	o.measured(s, "%d of %d first attempts received within %v of their publish in %v without Temporal, half of them within %v; %d retries within %v of its return",
		first.n-first.over, first.n, tenths(first.most), tenths(away), middle(took).Round(time.Millisecond), retries.n-retries.over, tenths(retries.most))
}

// middle returns the median of an ordered list.
func middle(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	return list[len(list)/2]
}

// firstRequest returns when the first request of a delivery came; zero if none did.
func (o *oracle) firstRequest(d *Delivery, ref string) time.Time {
	w := o.webhooks[d.WebhookID]
	if w == nil || len(o.requests[[2]string{w.Name, ref}]) == 0 {
		return time.Time{}
	}
	return o.requests[[2]string{w.Name, ref}][0].At
}

// checkStalled checks that another process took over the first attempts that waited in the process that stood still.
// The account of all deliveries checks that nothing but what was on the wire came twice (cutOff).
func (o *oracle) checkStalled(s *Struck) {
	waited, cut, lost := bounded{bound: takenOver}, 0, 0
	var soonest time.Time
	for id, e := range o.byID {
		if !strings.HasPrefix(e.Ref(), ownedRef) {
			continue
		}
		for _, d := range o.deliveries[id] {
			at := o.firstRequest(d, e.Ref())
			switch {
			case at.IsZero() && d.State == hook.StateDropped: // claimed and not sent yet
			case lost < lostTasks && at.After(s.Held[0].Add(takenOver)) && at.Before(s.Held[0].Add(takenOver+lostTask)):
				lost++
			case at.IsZero() || at.After(s.Held[0].Add(onTheWire)):
				waited.add(s.Held[0], at)
				if !at.IsZero() && (soonest.IsZero() || at.Before(soonest)) {
					soonest = at
				}
			case o.wasCutOff(s, d, e.Ref()):
				cut++
			}
		}
	}
	o.judge(RuleLate, &waited, s, "first attempts of the process that stood still")
	if waited.n == 0 || cut == 0 {
		o.violated(RuleLate, "%s: %d first attempts waited and %d were in flight when it began", s.name(), waited.n, cut)
	}
	text := "none of them by another process"
	if over := soonest.Sub(s.Held[0]); !soonest.IsZero() {
		text = fmt.Sprintf("another process began them after %v and made %d of them within %v", tenths(over), waited.n-waited.over, tenths(waited.most))
		if over > ownerOver+clockSlack || soonest.After(s.Held[1]) {
			o.violated(RuleLate, "%s: another process took over after %v", s.name(), tenths(over))
		}
	}
	if lost > 0 {
		text += fmt.Sprintf("; %d waited for the time-out of a task that Temporal had handed to it", lost)
	}
	o.measured(s, "%d first attempts were in flight and %d waited; %s", cut, waited.n, text)
}

// wasCutOff reports whether a request of the delivery was on the wire when the process stopped.
func (o *oracle) wasCutOff(s *Struck, d *Delivery, ref string) bool {
	w := o.webhooks[d.WebhookID]
	return w != nil && slices.ContainsFunc(o.requests[[2]string{w.Name, ref}], func(r *Request) bool {
		return s.cutOff(r.At, r.Until)
	})
}

// cutOff reports whether a request was on the wire, or answered and not yet recorded, when a process was stopped.
func (s *Struck) cutOff(begin, end time.Time) bool {
	return begin.Before(s.Held[0].Add(onTheWire)) && end.After(s.Held[0].Add(-unrecorded))
}
