package crash

import (
	"slices"
	"time"

	"grapnel/internal/hook"
)

// mostAttempts is the most attempts of a delivery (spec 1).
const mostAttempts = 5

// slack is the greatest difference between the receiver's and the sender's time of a request.
const slack = 500 * time.Millisecond

// checkDelivery compares a delivery with its attempts and its requests.
func (o *oracle) checkDelivery(d *Delivery) {
	event, w := o.byID[d.EventID], o.webhooks[d.WebhookID]
	if event == nil || w == nil {
		o.violated(RulePhantom, "delivery %s is of event %s for webhook %s", d.ID, d.EventID, d.WebhookID)
		return
	}
	if d.UpdatedAt.After(o.Last) {
		o.Last = d.UpdatedAt
	}
	c := &checked{
		oracle: o, Delivery: d, webhook: w, name: event.Ref() + " for " + w.Name, attempts: o.attempts[d.ID],
		requests: o.requests[[2]string{w.Name, event.Ref()}],
	}
	if p := o.published[event.Ref()]; p != nil {
		c.accepted = p.Accepted
	}
	c.checkState()
	c.checkNumbers()
	c.checkRecords()
	c.checkDuplicates()
}

// checked is a delivery with all evidence about it.
type checked struct {
	*oracle
	*Delivery
	webhook  *Webhook
	name     string
	accepted bool
	attempts []*Attempt
	requests []*Request // ordered by time
	// late are the requests that were answered when their sender had just given up.
	late []*Request
}

// ended reports a violation about the end of the delivery. It is a loss if the event was accepted.
func (c *checked) ended(format string, args ...any) {
	if c.accepted {
		c.Lost++
	}
	c.violated(RuleLost, c.name+": "+format, args...)
}

func (c *checked) momento() bool { return c.webhook.Profile == hook.ProfileMomento }

func succeeded(r *Request) bool { return r.Status/100 == 2 }

// checkState checks that the delivery has the final state that its receiver's responses call for.
func (c *checked) checkState() {
	if c.Outstanding {
		c.violated(RuleStuck, "%s is %s after %d attempts, and not at its end", c.name, c.State, c.Attempts)
		if c.accepted {
			c.Lost++
		}
		return
	}
	switch c.State {
	case hook.StateSuccess:
		if !slices.ContainsFunc(c.requests, succeeded) {
			c.violated(RuleArrival, "%s is a success; it got %d requests and answered none with 2xx", c.name, len(c.requests))
		}
	case hook.StateFailed:
		c.Failed++
		switch {
		case !c.momento() && c.Attempts < mostAttempts:
			c.ended("failed after %d attempts", c.Attempts)
		case !c.traits.Unreached && !c.mayFail():
			c.ended("failed; its endpoint takes such events")
		}
	case hook.StateTimedOut:
		if !c.momento() || !c.traits.Unreached && !slices.ContainsFunc(c.requests, func(r *Request) bool { return r.Status == 0 }) {
			c.ended("timed out; its endpoint answers")
		}
	case hook.StateDropped:
		c.Dropped++
		if !c.momento() || !c.traits.Repeats {
			c.ended("dropped, which this damage is no reason for")
		}
	case hook.StatePending, hook.StateSending, hook.StateCanceled:
		c.ended("ended as %s", c.State)
	}
}

// mayFail reports whether the endpoint got requests and answered none successfully.
func (c *checked) mayFail() bool {
	return len(c.requests) > 0 && !slices.ContainsFunc(c.requests, succeeded)
}

// checkNumbers checks the number and the numbering of attempts.
func (c *checked) checkNumbers() {
	most := mostAttempts
	if c.momento() {
		most = 1
	}
	// A scheduled attempt that was made twice is twice in the log. Its requests have one number, and checkRecords looks
	// for what excuses the second.
	most += c.madeTwice()
	if len(c.attempts) != c.Attempts || len(c.attempts) > most {
		c.violated(RuleAttempts, "%s counts %d attempts and has %d, at most %d", c.name, c.Attempts, len(c.attempts), most)
	}
	for i, a := range c.attempts {
		if a.Number != i+1 {
			c.violated(RuleAttempts, "%s: attempt %d has number %d", c.name, i+1, a.Number)
			break
		}
	}
}

// madeTwice counts the recorded requests with the same number as one before.
func (c *checked) madeTwice() int {
	numbers := map[int]bool{}
	for _, r := range c.requests {
		numbers[r.Attempt] = true
	}
	return max(min(len(c.requests), len(c.attempts))-len(numbers), 0)
}

// checkRecords looks for the request of every attempt, and the attempt of every request.
func (c *checked) checkRecords() {
	left := slices.Clone(c.requests)
	for _, a := range c.attempts {
		at := slices.IndexFunc(left, func(r *Request) bool { return c.isOf(r, a) })
		if at < 0 {
			if !c.traits.Unreached || a.Status != 0 || !c.excused(a.StartedAt, a.StartedAt.Add(a.Duration)) {
				c.violated(RuleRecord, "%s: attempt %d (%d %s) was recorded, and no request came", c.name, a.Number, a.Status, a.Class)
			}
			continue
		}
		r := left[at]
		left = slices.Delete(left, at, at+1)
		if c.crossed(r, a) {
			c.late = append(c.late, r)
		} else if a.Status != r.Status && (!c.traits.Unreached || !c.excused(r.At, r.Until)) {
			c.violated(RuleRecord, "%s: attempt %d was answered with %d, and %d %s was recorded", c.name, a.Number, r.Status, a.Status, a.Class)
		}
	}
	c.Repeated += len(left)
	for _, r := range left {
		if !c.excused(r.At, r.Until) {
			c.violated(RuleDuplicate, "%s: the request at %s was not recorded, and nothing was struck then", c.name, r.At.Format(time.StampMilli))
		}
	}
}

// crossed reports whether the response came just as the sender gave up. On a machine that is short of time both
// records are then right.
func (c *checked) crossed(r *Request, a *Attempt) bool {
	return a.Class == hook.ClassTimeout && r.Status != 0 && r.Until.After(a.StartedAt.Add(a.Duration-slack))
}

// isOf reports whether the request belongs to the attempt. After a strike, such as a worker that stands still and
// continues later, two processes may have made the same attempt. Both requests then carry its number, and the attempt
// that is recorded second has the next number.
func (c *checked) isOf(r *Request, a *Attempt) bool {
	same := r.Attempt == a.Number || r.Attempt < a.Number && c.excused(r.At, r.Until)
	if c.webhook.Profile == hook.ProfileStandard && !same {
		return false
	}
	return r.At.After(a.StartedAt.Add(-slack)) && r.At.Before(a.StartedAt.Add(a.Duration+slack))
}

// checkDuplicates checks the requests that came after a success.
func (c *checked) checkDuplicates() {
	if c.momento() {
		if len(c.requests) > 1 {
			c.Duplicates += len(c.requests) - 1
			c.violated(RuleTwice, "%s was sent %d times", c.name, len(c.requests))
		}
		return
	}
	var last *Request
	for _, r := range c.requests {
		if last != nil {
			c.Duplicates++
			if !c.excused(last.At, last.Until) && !slices.Contains(c.late, last) {
				c.violated(RuleDuplicate, "%s was a success at %s, and was sent again at %s; nothing was struck then", c.name, last.At.Format(time.StampMilli), r.At.Format(time.StampMilli))
			}
		}
		if succeeded(r) {
			last = r
		}
	}
}

// excused reports whether a strike around that time may have kept the result of a request from being recorded. A
// locked row excuses its own webhook only, and a process that stands still only what was on the wire when it stopped.
func (c *checked) excused(begin, end time.Time) bool {
	if end.Before(begin) {
		end = begin
	}
	return slices.ContainsFunc(c.Struck, func(s Struck) bool {
		if s.Damage == LockRows && s.Locked.Webhook != c.webhook.Name {
			return false
		}
		if s.Damage == StallOwner {
			return s.cutOff(begin, end)
		}
		return Of(s.Damage).Repeats && end.After(s.Begin.Add(-c.Window)) && begin.Before(s.End.Add(c.Window))
	})
}
