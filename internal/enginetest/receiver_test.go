package enginetest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/signing"
)

// behaviour is a receiver's way of answering.
type behaviour string

const (
	answersOK     behaviour = "200"
	answersSlowly behaviour = "200 after 3 s"
	fails         behaviour = "500"
	asksToWait    behaviour = "503 with Retry-After"
	isGone        behaviour = "410"
	refuses       behaviour = "refuses"
	hangs         behaviour = "hangs"
)

// retryAfter is the delay that a receiver asks for with Retry-After.
const retryAfter = 3 * time.Hour

// request is a request that a receiver got.
type request struct {
	number int
	// publication is the number of the publication that it delivers, webhook the webhook that gets it.
	publication int
	webhook     *webhook
	// manual is set for a request by hand, test for a test.
	manual, test bool
	// immediate is set for a request that no activity makes, ended once it was answered or given up.
	immediate, ended bool
	p                *process
	url              string
	at               time.Time
	// began is the tick of the request, run the tick at which its activity started.
	began, run        int64
	succeeded, failed bool
	// recorded is the tick at which the store had answered its recording; 0 before that.
	recorded int64
	// stalled is set if the store did not answer its process for a while, so that it may be missing in the log.
	stalled bool
}

// receivers are the receivers of all webhooks.
type receivers struct {
	w *world

	mu       sync.Mutex
	requests []*request
	wrong    []string
}

// recorded notes the requests that the store has in its log.
func (r *receivers) recorded(records []hook.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range records {
		if n, err := numberOf(records[i].Attempt.RemoteAddr); err == nil && n < len(r.requests) {
			r.requests[n].recorded = r.w.tick()
		}
	}
}

// stalled notes that the store did not answer a process.
func (r *receivers) stalled(p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.requests {
		one.stalled = one.stalled || one.p == p && one.recorded == 0
	}
}

// addressOf returns the address that the log shows for the request with that number.
func addressOf(n int) string { return fmt.Sprintf("request-%d", n) }

func numberOf(address string) (int, error) {
	return strconv.Atoi(strings.TrimPrefix(address, "request-"))
}

// sender sends a process's requests to the receivers.
type sender struct{ p *process }

// Send delivers a request to the receiver and returns the answer, unless the process is killed meanwhile.
func (s sender) Send(ctx context.Context, r hook.Request) (hook.Attempt, error) {
	if s.p.isDead() {
		return hook.Attempt{}, errKilled
	}
	got, does := s.p.w.receivers.arrives(ctx, s.p, r)
	attempt := hook.Attempt{URL: r.URL, StartedAt: time.Now(), RemoteAddr: addressOf(got.number), RequestHeaders: r.Header}
	takes := 2 * time.Millisecond
	switch does {
	case answersOK:
		attempt.StatusCode = http.StatusOK
	case answersSlowly:
		attempt.StatusCode, takes = http.StatusOK, 3*time.Second
	case fails:
		attempt.StatusCode = http.StatusInternalServerError
	case asksToWait:
		attempt.StatusCode, attempt.RetryAfter = http.StatusServiceUnavailable, retryAfter
	case isGone:
		attempt.StatusCode = http.StatusGone
	case refuses:
		attempt.Class, attempt.Error = hook.ClassRefused, "Connection refused"
	case hangs:
		attempt.Class, attempt.Error, takes = hook.ClassTimeout, "Connection timeout", r.Timeout
	}
	select {
	case <-time.After(takes):
	case <-s.p.dead:
		return hook.Attempt{}, errKilled
	case <-ctx.Done():
		s.p.w.receivers.gaveUp(got)
		return hook.Attempt{}, ctx.Err()
	}
	if attempt.StatusCode != 0 {
		attempt.Class, attempt.Error = hook.StatusFailure(attempt.StatusCode)
		attempt.ResponseHeaders = http.Header{}
	}
	attempt.Duration = time.Since(attempt.StartedAt)
	s.p.w.receivers.answered(got, attempt.Succeeded())
	return attempt, nil
}

func (r *receivers) answered(got *request, succeeded bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	got.succeeded, got.failed, got.ended = succeeded, !succeeded, true
}

func (r *receivers) gaveUp(got *request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	got.ended = true
	// Its run had waited for the store, and had to end before the answer.
	got.stalled = got.stalled || r.w.struckAfter(got.at.Add(-strikes))
}

// arrives notes a request and checks that it is allowed at this moment.
func (r *receivers) arrives(ctx context.Context, p *process, in hook.Request) (*request, behaviour) {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := &request{number: len(r.requests), p: p, url: in.URL, at: time.Now(), began: r.w.tick()}
	r.requests = append(r.requests, got)
	run := runOf(ctx)
	if got.immediate = run == nil; run != nil {
		got.run, got.manual = run.began, run.name == "SendNow"
	}
	var body struct {
		Data struct {
			N int `json:"n"`
		} `json:"data"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(in.Body, &body); err != nil {
		r.wrong = append(r.wrong, "a body is not JSON")
	}
	got.publication = body.Data.N
	if body.Text != "" {
		number, _, _ := strings.Cut(body.Text, "|")
		got.publication, _ = strconv.Atoi(number)
	}
	got.test = r.w.isTest(got.publication)
	r.w.logf("%s sends publication %d to %s%s", p.name, got.publication, in.URL, map[bool]string{true: " by hand"}[got.manual])
	w, allowed, why := r.w.allows(in, got)
	if w == nil {
		r.wrong = append(r.wrong, "a request went to a URL that no webhook has had")
		return got, answersOK
	}
	got.webhook = w
	r.checkFirst(got)
	if !allowed {
		r.wrong = append(r.wrong, "a request began after it was forbidden: "+why)
		r.w.logf("FORBIDDEN (%s): publication %d to %s", why, got.publication, w.name)
	}
	return got, w.behaves
}

// signedBy reports whether the request is signed with the secret.
func signedBy(p hook.Profile, in hook.Request, secret string) bool {
	switch p {
	case hook.ProfileMomento:
		return slices.Equal(in.Header["momento-signature"], []string{signing.HexSHA3(secret, in.Body)}) //nolint:staticcheck // lower case is intended
	case hook.ProfileCommenda:
		return in.Header.Get("Commenda-X-Secret") == signing.HexSHA256(secret, in.Body)
	case hook.ProfileStandard:
	}
	return in.Header.Get("X-Webhook-Signature") == signing.HexSHA256(secret, in.Body)
}
