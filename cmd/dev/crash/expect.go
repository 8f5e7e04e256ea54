package crash

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"grapnel/internal/hook"
)

const (
	// immediately is the longest response time of the call that ends a webhook.
	immediately = 3 * time.Second
	// onTheWire is the longest time after that response in which a request that was already sent may arrive.
	onTheWire = 500 * time.Millisecond
	// takenOver is the longest time until another process starts the events that one process cannot start.
	takenOver = 15 * time.Second
	// unfrozen is the longest time after a process freezes for which its locks may block others: PostgreSQL ends its
	// transaction after 15 s.
	unfrozen = 25 * time.Second
	// beginAnew is the time allowed to catch up after even the shortest interruption: calls run into their timeouts,
	// and processes wait before they retry.
	beginAnew = 30 * time.Second
	// clockSlack is the tolerance for times.
	clockSlack = 2 * time.Second
)

// checkExpectations checks the promise that each strike with stages tests.
func (o *oracle) checkExpectations() {
	if Of(o.Damage).Stages > 0 {
		for _, name := range o.Survey.Died {
			o.violated(RuleProcess, "%s ended by itself", name)
		}
	}
	for i := range o.Struck {
		s := &o.Struck[i]
		switch s.Damage { //nolint:exhaustive // the other kinds have no promise of their own
		case StopTemporal:
			o.checkCaughtUp(s)
		case CutTemporal:
			o.checkTakenOver(s)
		case Freeze:
			o.checkNeighbours(s, s.Stage == FreezeAPI)
			o.checkUnfrozen(s)
		case LockRows:
			o.checkNeighbours(s, true)
			o.checkUnlocked(s)
		case EndWebhooks:
			o.checkNeighbours(s, true)
			o.checkEnding(s)
		case FillMemory:
			o.checkMemory()
		case LeapClock:
			o.checkClock(s)
		case AwayTemporal:
			o.checkAway(s)
		case StallOwner:
			o.checkNeighbours(s, true)
			o.checkStalled(s)
		}
	}
}

func (o *oracle) measured(s *Struck, format string, args ...any) {
	o.Measured = append(o.Measured, s.name()+": "+fmt.Sprintf(format, args...))
}

func tenths(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// held reports whether the strike overlapped the given time.
func (s *Struck) held(begin, end time.Time) bool {
	return begin.Before(s.Held[1]) && end.After(s.Held[0])
}

// checkCaughtUp measures the time from Temporal's return until the last first attempt of an event accepted before it.
func (o *oracle) checkCaughtUp(s *Struck) {
	away, last := s.Held[1].Sub(s.Held[0]), s.Held[1]
	for id, e := range o.byID {
		p := o.published[e.Ref()]
		if p == nil || !p.Accepted || p.At.After(s.Held[1]) {
			continue
		}
		for _, d := range o.deliveries[id] {
			if list := o.attempts[d.ID]; len(list) > 0 && list[0].StartedAt.After(last) {
				last = list[0].StartedAt
			}
		}
	}
	took := last.Sub(s.Held[1])
	o.measured(s, "caught up %v after %v", tenths(took), tenths(away))
	if took >= max(away, beginAnew) {
		o.violated(RuleLate, "it took %v to catch up with %v", tenths(took), tenths(away))
	}
}

// bounded collects durations that have a bound.
type bounded struct {
	bound time.Duration
	// most is the longest duration within the bound, and worst the longest above it. over counts the durations above
	// the bound, including never: those without an end.
	most, worst         time.Duration
	n, over, never      int
	firstOver, lastOver time.Time
}

// add adds a duration. A zero end means that it never ended.
func (b *bounded) add(begin, end time.Time) {
	b.n++
	took := end.Sub(begin)
	switch {
	case !end.IsZero() && took <= b.bound:
		b.most = max(b.most, took)
		return
	case end.IsZero():
		b.never++
	default:
		b.worst = max(b.worst, took)
	}
	b.over++
	if b.firstOver.IsZero() || begin.Before(b.firstOver) {
		b.firstOver = begin
	}
	if begin.After(b.lastOver) {
		b.lastOver = begin
	}
}

// judge reports a violation if any duration exceeded the bound.
func (o *oracle) judge(rule Rule, b *bounded, s *Struck, what string) {
	if b.over > 0 {
		o.violated(rule, "%s: %d of %d %s took more than %v (the worst %v, %d never came to an end), those begun from %s to %s", s.name(), b.over, b.n, what,
			b.bound, tenths(b.worst), b.never, b.firstOver.Format(time.TimeOnly), b.lastOver.Format(time.TimeOnly))
	}
}

// checkTakenOver checks that the events accepted by the API without Temporal were delivered meanwhile.
func (o *oracle) checkTakenOver(s *Struck) {
	delivered := bounded{bound: takenOver}
	for _, p := range s.Probes {
		if !p.Accepted.IsZero() && p.Accepted.Add(takenOver).Before(s.Held[1]) { // there was enough time
			delivered.add(p.Accepted, p.Recorded)
		}
	}
	o.judge(RuleLate, &delivered, s, "deliveries of what the API accepted that was cut off")
	if delivered.n == 0 {
		o.violated(RuleLate, "%s: nothing was accepted by the API that was cut off", s.name())
	}
	o.measured(s, "%d of %d accepted by the API that was cut off were delivered within %v", delivered.n-delivered.over, delivered.n, tenths(delivered.most))
}

// checkNeighbours checks the probes' responses and, with records, their recorded deliveries.
func (o *oracle) checkNeighbours(s *Struck, records bool) {
	answers, recorded := bounded{bound: moment}, bounded{bound: moment}
	for _, p := range s.Probes {
		answers.add(p.Begin, p.Accepted)
		if records && !p.Accepted.IsZero() {
			recorded.add(p.Accepted, p.Recorded)
		}
	}
	o.judge(RuleNeighbour, &answers, s, "neighbours' publishes")
	o.judge(RuleNeighbour, &recorded, s, "neighbours' deliveries")
	if answers.n == 0 {
		o.violated(RuleNeighbour, "%s: no neighbour published", s.name())
	}
	text := fmt.Sprintf("%d of %d neighbours' publishes accepted within %v", answers.n-answers.over, answers.n, tenths(answers.most))
	if records {
		text += fmt.Sprintf(", %d of %d recorded within %v", recorded.n-recorded.over, recorded.n, tenths(recorded.most))
	}
	if s.Target.Note != "" {
		text += "; " + s.Target.Note
	}
	o.measured(s, "%s", text)
}

// wait adds the duration of a publish.
func (b *bounded) wait(w *Wait) {
	if w.Accepted {
		b.add(w.Begin, w.End)
	} else {
		b.add(w.Begin, time.Time{})
	}
}

// checkUnfrozen checks all publishes that began some time after a process froze.
func (o *oracle) checkUnfrozen(s *Struck) {
	answers := bounded{bound: moment}
	for i := range o.Waits {
		if w := &o.Waits[i]; w.Begin.After(s.Held[0].Add(unfrozen)) && w.Begin.Before(s.Held[1]) {
			answers.wait(w)
		}
	}
	o.judge(RuleNeighbour, &answers, s, "publishes, long after it began,")
}

// checkUnlocked checks the publishes that do not need the locked row.
func (o *oracle) checkUnlocked(s *Struck) {
	answers := bounded{bound: moment}
	for i := range o.Waits {
		if w := &o.Waits[i]; s.held(w.Begin, w.End) && !s.Locked.concerns(w, o.Webhooks) {
			answers.wait(w)
		}
	}
	o.judge(RuleNeighbour, &answers, s, "other publishes")
	o.measured(s, "%d of %d other publishes accepted within %v", answers.n-answers.over, answers.n, tenths(answers.most))
}

// checkEnding checks how a webhook with a backlog ended.
func (o *oracle) checkEnding(s *Struck) {
	e := s.Ending
	if e == nil {
		o.violated(RuleEnding, "%s: there was no backlog", s.name())
		return
	}
	bound := immediately
	if s.Stage == EndGone {
		bound = moment
	}
	took := e.Answered.Sub(e.Asked)
	if e.Status/100 != 2 || took > bound {
		o.violated(RuleEnding, "%s: answered with %d after %v, not at once", s.name(), e.Status, tenths(took))
	}
	after := 0
	for _, at := range e.Requests {
		if at.After(e.Answered.Add(onTheWire)) {
			after++
		}
	}
	if after > 0 {
		o.violated(RuleEnding, "%s: %d requests came more than %v after the answer", s.name(), after, onTheWire)
	}
	if e.Twice > 0 {
		o.violated(RuleEnding, "%s: %d requests were of an event that had come before", s.name(), e.Twice)
	}
	if want := string(hook.StateCanceled); e.Shown != want && (e.Shown != "" || s.Stage != EndDeleted) {
		o.violated(RuleEnding, "%s: right after the answer a delivery was shown as %q, not as %s", s.name(), e.Shown, want)
	}
	if e.Outstanding > 0 || e.Canceled+e.Attempted != e.Backlog || e.Attempted > len(e.Requests) {
		o.violated(RuleEnding, "%s: of %d deliveries %d were canceled, %d ended otherwise with %d requests, %d are outstanding",
			s.name(), e.Backlog, e.Canceled, e.Attempted, len(e.Requests), e.Outstanding)
	}
	o.measured(s, "answered after %v with %d waiting, %d requests in all, all canceled after %v",
		took.Round(time.Millisecond), e.Backlog, len(e.Requests), tenths(e.Over.Sub(e.Asked)))
}

// checkMemory compares the memory of the processes with their bound.
func (o *oracle) checkMemory() {
	const mib = 1 << 20
	if o.Survey.Bound == 0 || len(o.Survey.Memory) == 0 {
		o.violated(RuleMemory, "nobody has looked at it")
	}
	for _, name := range slices.Sorted(maps.Keys(o.Survey.Memory)) {
		most := o.Survey.Memory[name]
		by := "watched"
		if o.Survey.Enforced {
			by = "enforced by the kernel"
		}
		o.Measured = append(o.Measured, fmt.Sprintf("%s held %d MiB at most; %d MiB are allowed, %s", name, most/mib, o.Survey.Bound/mib, by))
		if most > o.Survey.Bound {
			o.violated(RuleMemory, "%s held %d MiB, and may hold %d MiB", name, most/mib, o.Survey.Bound/mib)
		}
	}
}

// checkClock checks the times of events published after a clock was corrected.
func (o *oracle) checkClock(s *Struck) {
	ahead, after, wrong := 0, 0, 0
	example := ""
	for id, e := range o.byID {
		p := o.published[e.Ref()]
		if p == nil || !p.Accepted {
			continue
		}
		least, most, drawn := p.Begin.Add(-clockSlack), p.At.Add(clockSlack), timeOf(id)
		if p.Begin.Before(s.End) && p.At.After(s.Begin) && drawn.After(most) {
			ahead++
		}
		if p.Begin.Before(s.End) || o.leaping(p.Begin, p.At) {
			continue
		}
		after++
		if e.CreatedAt.Before(least) || e.CreatedAt.After(most) || drawn.Before(least) || drawn.After(most) {
			wrong++
			example = fmt.Sprintf("%s was published at %s; its id is of %s, and it was created at %s", p.Ref,
				p.At.UTC().Format(time.DateTime), drawn.UTC().Format(time.DateTime), e.CreatedAt.UTC().Format(time.DateTime))
		}
	}
	o.measured(s, "%d events carry the clock that was ahead, %d of %d after it the right one", ahead, after-wrong, after)
	if wrong > 0 {
		o.violated(RuleClock, "%s: %d of %d events published afterwards have wrong times: %s", s.name(), wrong, after, example)
	}
	if ahead == 0 || after == 0 {
		o.violated(RuleClock, "%s: %d events were published while the clock was ahead, and %d afterwards", s.name(), ahead, after)
	}
}

// leaping reports whether a clock was ahead at any time from begin to end.
func (o *oracle) leaping(begin, end time.Time) bool {
	return slices.ContainsFunc(o.Struck, func(s Struck) bool {
		return s.Damage == LeapClock && begin.Before(s.End) && end.After(s.Begin)
	})
}

// timeOf returns the time in a UUIDv7.
func timeOf(id string) time.Time {
	var high, low int64
	if _, err := fmt.Sscanf(id, "%08x-%04x", &high, &low); err != nil {
		return time.Time{}
	}
	return time.UnixMilli(high<<16 | low)
}
