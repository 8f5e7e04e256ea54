package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"grapnel/internal/clip"
	"grapnel/internal/hook"
	"grapnel/internal/wait"
)

// Publisher publishes at a steady rate, retries as a client would, and keeps the responses.
type Publisher struct {
	balancer *Balancer
	seed     uint64

	mu    sync.Mutex
	list  []*Publication
	waits []Wait
	count Counts
}

// Wait is the time that a publisher took to have an order accepted.
type Wait struct {
	Type, Cache, Key string
	Begin, End       time.Time
	// Accepted is false if the publisher gave up.
	Accepted bool
}

// Counts are counts of requests to publish.
type Counts struct {
	Requests int `json:"requests"`
	// Refused is the number of requests for which no API accepted a connection, Unanswered the number whose
	// connection broke or whose response did not come, and Unavailable the number with a 503.
	Refused     int `json:"refused"`
	Unanswered  int `json:"unanswered"`
	Unavailable int `json:"unavailable"`
	// Wrong counts the responses that no client should get.
	Wrong map[string]int `json:"wrong,omitempty"`
}

// Failed returns the number of requests that a client had to retry.
func (c *Counts) Failed() int { return c.Refused + c.Unanswered + c.Unavailable }

const (
	// mostUnderWay is the most requests in progress at once, because a client has a limited number.
	mostUnderWay = 256
	// pauseLeast and pauseMost are the least and the most time that a client waits before a retry.
	pauseLeast, pauseMost = 200 * time.Millisecond, 2 * time.Second
	// insistence is how long a client still retries after the load has ended.
	insistence = 45 * time.Second
)

// NewPublisher returns a publisher.
func NewPublisher(b *Balancer, seed uint64) *Publisher {
	return &Publisher{balancer: b, seed: seed, count: Counts{Wrong: map[string]int{}}}
}

// Run publishes at a rate per second until over is closed, and returns when the last request has succeeded or been
// given up.
func (p *Publisher) Run(ctx context.Context, rate float64, over <-chan struct{}) {
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	insist, cancel := context.WithCancel(ctx)
	defer cancel()
	slots := make(chan struct{}, mostUnderWay)
	var group sync.WaitGroup
	defer group.Wait()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-over:
			end := time.AfterFunc(insistence, cancel)
			defer end.Stop()
			group.Wait()
			return
		case <-tick.C:
		}
		slots <- struct{}{}
		group.Go(func() {
			p.publish(insist, p.balancer, newOrder(p.seed, n))
			<-slots
		})
	}
}

// Publications returns all publications and the counts; call it after Run.
func (p *Publisher) Publications() ([]*Publication, Counts) { return p.list, p.count }

// Waits returns the time that each order took; call it after Run.
func (p *Publisher) Waits() []Wait { return p.waits }

// AcceptedBetween returns the number of events accepted between two times.
func (p *Publisher) AcceptedBetween(begin, end time.Time) (n int) {
	for _, publication := range p.list {
		if publication.Accepted && publication.At.After(begin) && publication.At.Before(end) {
			n++
		}
	}
	return n
}

// publish sends an order, with as many retries as it needs, until it is accepted or ctx ends. It returns the
// publications of the last try.
func (p *Publisher) publish(ctx context.Context, b *Balancer, o order) []*Publication {
	again := o.again && (o.kind == keyed || o.kind == commendaKeyed)
	o.begin = time.Now()
	var list []*Publication
	accepted := false
	for try := 1; !accepted; try++ {
		if try == 1 || list[0].Key == "" {
			list = p.begin(&o, try)
		}
		if accepted = p.try(ctx, b, &o, list); accepted {
			break
		}
		if wait.For(ctx, min(pauseLeast<<min(try, 10), pauseMost)) != nil {
			break
		}
	}
	first := list[0]
	p.mu.Lock()
	p.waits = append(p.waits, Wait{Type: first.Type, Cache: first.Cache, Key: first.Key, Begin: o.begin, End: time.Now(), Accepted: accepted})
	p.mu.Unlock()
	if again && accepted {
		p.try(ctx, b, &o, list)
	}
	return list
}

// begin records the publications of a try before it is sent.
func (p *Publisher) begin(o *order, try int) []*Publication {
	var list []*Publication
	for i := range o.size() {
		list = append(list, o.publication(i, try))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, list...)
	return list
}

// try makes one request and reports whether all its events were accepted.
func (p *Publisher) try(ctx context.Context, b *Balancer, o *order, list []*Publication) bool {
	status, answer, err := b.Send(ctx, requestOf(o, list))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count.Requests++
	want := http.StatusAccepted
	if o.kind == momento {
		want = http.StatusNoContent
	}
	switch {
	case errors.Is(err, errRefused):
		p.count.Refused++
		return false
	case err != nil:
		p.count.Unanswered++
	case status == http.StatusServiceUnavailable:
		p.count.Unavailable++
	case status != want:
		p.count.Wrong[fmt.Sprintf("HTTP %d %s", status, clip.Text(string(answer), shownAnswer))]++
	default:
		return p.accept(o, list, answer)
	}
	for _, publication := range list {
		if !publication.Accepted {
			publication.Unknown++
		}
	}
	return false
}

// accept records a successful response.
func (p *Publisher) accept(o *order, list []*Publication, answer []byte) bool {
	if o.kind == momento {
		list[0].accept("")
		return true
	}
	if o.kind != batch {
		id, err := eventOf(o.kind, answer)
		if err != nil {
			p.count.Wrong[err.Error()]++
		}
		list[0].accept(id)
		return true
	}
	var a struct {
		Results []struct {
			Status int
			Event  struct{ ID string }
		}
	}
	if err := json.Unmarshal(answer, &a); err != nil || len(a.Results) != len(list) {
		p.count.Wrong["batch: "+clip.Text(string(answer), shownAnswer)]++
		return true
	}
	all := true
	for i, result := range a.Results {
		switch id, err := hook.ParseEventID(result.Event.ID); {
		case result.Status == http.StatusAccepted && err == nil:
			list[i].accept(id.UUID())
		case result.Status == http.StatusServiceUnavailable:
			list[i].Unknown++
			all = false
		default:
			p.count.Wrong[fmt.Sprintf("batch: item with HTTP %d", result.Status)]++
		}
	}
	return all
}

// accept records a success. A second success must name the same event.
func (p *Publication) accept(id string) {
	if p.Accepted {
		if p.ID != id {
			p.Wrong = fmt.Sprintf("accepted as %s and again as %s", p.ID, id)
		}
		return
	}
	p.Accepted, p.ID, p.At = true, id, time.Now()
}

// requestOf returns the request that publishes an order.
func requestOf(o *order, list []*Publication) request {
	r := request{method: http.MethodPost, path: "/v1/events", contentType: "application/json"}
	first := list[0]
	switch o.kind {
	case single, keyed:
		r.key = first.Key
		r.body = fmt.Appendf(nil, `{"type":%q,"data":%s}`, first.Type, dataOf(first.Ref))
	case batch:
		r.path = "/v1/events/batch"
		items := make([]string, 0, len(list))
		for _, p := range list {
			items = append(items, fmt.Sprintf(`{"type":%q,"data":%s,"id":%q}`, p.Type, dataOf(p.Ref), p.Key))
		}
		r.body = fmt.Appendf(nil, `{"events":[%s]}`, strings.Join(items, ","))
	case commenda, commendaKeyed:
		r.path, r.key = "/events", first.Key
		r.body = fmt.Appendf(nil, `{"topic":%q,"data":%s,"organization_id":"crash"}`, first.Type, dataOf(first.Ref))
	case momento:
		r.path, r.contentType = "/topics/"+url.PathEscape(first.Cache)+"/"+url.PathEscape(first.Type), "text/plain"
		r.body = []byte(dataOf(first.Ref))
	}
	return r
}

// eventOf returns the event that a response names.
func eventOf(k kind, answer []byte) (string, error) {
	var a struct {
		ID   string
		Data struct{ ID string }
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return "", fmt.Errorf("answer %s: %w", clip.Text(string(answer), shownAnswer), err)
	}
	if k == commenda || k == commendaKeyed {
		return a.Data.ID, nil
	}
	id, err := hook.ParseEventID(a.ID)
	return id.UUID(), err
}

// shownAnswer is the length in bytes to which messages shorten a response.
const shownAnswer = 300
