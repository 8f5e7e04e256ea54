package storagetest

import (
	"context"
	"net/http"
	"sync"
	"time"

	"grapnel/internal/hook"
)

// Outcome is the result of one request.
type Outcome struct {
	attempt hook.Attempt
	takes   time.Duration
	hangs   bool
	ours    error
	then    func()
}

// Status is an answer with the status code; a code below 300 is a success.
func Status(code int) Outcome {
	o := Outcome{attempt: hook.Attempt{StatusCode: code}}
	o.attempt.Class, o.attempt.Error = hook.StatusFailure(code)
	return o
}

// Hang is a request without an answer: it ends with its timeout.
func Hang() Outcome {
	return Outcome{attempt: hook.Attempt{Class: hook.ClassTimeout, Error: "Connection timeout"}, hangs: true}
}

// Refused is a refused connection.
func Refused() Outcome {
	return Outcome{attempt: hook.Attempt{Class: hook.ClassRefused, Error: "Connection refused"}}
}

// BlockedByName is a refusal by the guard, after a look-up of the name that took that long.
func BlockedByName(took time.Duration) Outcome {
	return Outcome{attempt: hook.Attempt{Class: hook.ClassBlocked, Error: "Blocked destination", Timings: hook.Timings{DNS: took}}}
}

// Ours is a failure of the sender itself: nothing is sent, and the receiver is not at fault.
func Ours(err error) Outcome { return Outcome{ours: err} }

// After makes the request take the time d.
func (o Outcome) After(d time.Duration) Outcome {
	o.takes = d
	return o
}

// RetryAfter adds the delay that the receiver asks for.
func (o Outcome) RetryAfter(d time.Duration) Outcome {
	o.attempt.RetryAfter = d
	return o
}

// Body sets the body of the answer.
func (o Outcome) Body(text string) Outcome {
	o.attempt.ResponseBody = []byte(text)
	return o
}

// Then runs f when the request ends, before Send returns.
func (o Outcome) Then(f func()) Outcome {
	o.then = f
	return o
}

// Request is a request that a receiver got, with its time.
type Request struct {
	hook.Request
	At time.Time
}

// Sender is a delivery.Sender with scripted receivers. It must be made by NewSender and is safe for concurrent
// use.
type Sender struct {
	now func() time.Time

	mu       sync.Mutex
	scripts  map[string][]Outcome
	requests []Request
	inFlight int
	most     int
}

// NewSender returns a sender on the clock, without scripts.
func NewSender(now func() time.Time) *Sender {
	return &Sender{now: now, scripts: map[string][]Outcome{}}
}

// Script sets the outcomes of the requests to the URL, in order; the last one repeats. A URL without a script
// answers 200.
func (s *Sender) Script(url string, outcomes ...Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts[url] = outcomes
}

// Send makes one request by the script. Like the real sender it returns the cause when ctx ends.
func (s *Sender) Send(ctx context.Context, r hook.Request) (hook.Attempt, error) {
	if ctx.Err() != nil {
		return hook.Attempt{}, context.Cause(ctx)
	}
	o := s.begin(r)
	defer s.end()
	a, start := o.attempt, s.now()
	a.URL, a.StartedAt, a.RequestHeaders = r.URL, start.UTC(), r.Header.Clone()
	if a.StatusCode != 0 {
		a.ResponseHeaders = http.Header{}
	}
	a.Duration = o.takes
	if o.hangs {
		a.Duration = r.Timeout
	}
	if a.Duration > 0 {
		timer := time.NewTimer(a.Duration)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if o.then != nil {
		o.then()
	}
	if ctx.Err() != nil {
		return a, context.Cause(ctx)
	}
	return a, o.ours
}

func (s *Sender) begin(r hook.Request) Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight++
	s.most = max(s.most, s.inFlight)
	script := s.scripts[r.URL]
	o := Status(http.StatusOK)
	if len(script) > 0 {
		o = script[0]
	}
	if len(script) > 1 {
		s.scripts[r.URL] = script[1:]
	}
	if o.ours == nil {
		r.Header = r.Header.Clone()
		s.requests = append(s.requests, Request{Request: r, At: s.now()})
	}
	return o
}

func (s *Sender) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
}

// Requests returns the requests to the URL, in the order in which they were sent.
func (s *Sender) Requests(url string) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Request
	for i := range s.requests {
		if s.requests[i].URL == url {
			list = append(list, s.requests[i])
		}
	}
	return list
}

// Times returns when the requests to the URL were sent, relative to start.
func (s *Sender) Times(url string, start time.Time) []time.Duration {
	list := s.Requests(url)
	times := make([]time.Duration, 0, len(list))
	for i := range list {
		times = append(times, list[i].At.Sub(start))
	}
	return times
}

// MostInFlight returns the largest number of concurrent requests.
func (s *Sender) MostInFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}
