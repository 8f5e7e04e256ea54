package crash

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/signing"
)

// Request is a request to an endpoint.
type Request struct {
	// Webhook is the webhook's name.
	Webhook string
	// Ref is the reference in the body. EventID is the event that the body names, as a UUID; Momento's names none.
	// Sequence is the number of a message.
	Ref, EventID string
	Sequence     int64
	// Attempt is the value of X-Webhook-Attempt; 0 without that header.
	Attempt int
	// At is when the whole request had arrived, and Until when it was answered or its sender gave up.
	At, Until time.Time
	// Status is the response's status; 0 if there was no response.
	Status int
	// Wrong describes an error in the request's signature or body.
	Wrong string
}

// Receiver serves all endpoints of the run and keeps every request.
type Receiver struct {
	seed     uint64
	webhooks map[string]*Webhook
	server   *http.Server
	addr     string

	mu   sync.Mutex
	list []*Request
	// seen counts the requests by endpoint and publication.
	seen map[[2]string]int
}

// StartReceiver listens on a loopback port.
func StartReceiver(ctx context.Context, seed uint64, list []*Webhook) (*Receiver, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}
	r := &Receiver{seed: seed, webhooks: map[string]*Webhook{}, addr: l.Addr().String(), seen: map[[2]string]int{}}
	for _, w := range list {
		r.webhooks[w.Name] = w
	}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go func() { _ = r.server.Serve(l) }() // returns when the server is closed
	return r, nil
}

// Addr returns the address on which the receiver listens.
func (r *Receiver) Addr() string { return r.addr }

// Close stops the receiver.
func (r *Receiver) Close() error { return r.server.Close() }

// Requests returns the requests so far to the given webhooks, and those to no known webhook.
func (r *Receiver) Requests(of []*Webhook) []*Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Request, 0, len(r.list))
	for _, request := range r.list {
		if w := r.webhooks[request.Webhook]; w != nil && !slices.Contains(of, w) {
			continue
		}
		c := *request
		list = append(list, &c)
	}
	return list
}

// InFlight returns the number of requests to a webhook's endpoint without an answer yet.
func (r *Receiver) InFlight(w *Webhook) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, request := range r.list {
		if request.Webhook == w.Name && request.Until.IsZero() {
			n++
		}
	}
	return n
}

// Got returns the number of requests to a webhook's endpoint.
func (r *Receiver) Got(w *Webhook) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, request := range r.list {
		if request.Webhook == w.Name {
			n++
		}
	}
	return n
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the request never arrived completely, and nobody would read a response
	}
	got := &Request{Webhook: strings.TrimPrefix(req.URL.Path, "/"), At: time.Now()}
	webhook := r.webhooks[got.Webhook]
	if webhook == nil {
		got.Wrong = "no such endpoint: " + req.URL.Path
	} else {
		got.read(webhook, req.Header, body)
	}
	status, after := http.StatusOK, time.Duration(0)
	r.mu.Lock()
	r.list = append(r.list, got)
	at := [2]string{got.Webhook, got.Ref}
	r.seen[at]++
	if webhook != nil {
		status, after = webhook.answer(r.seed, got.Ref, r.seen[at])
	}
	r.mu.Unlock()
	if status == 0 {
		<-req.Context().Done()
		r.finish(got, 0)
		return
	}
	// A receiver that has accepted an event finishes it even if the sender is gone.
	time.Sleep(after)
	r.finish(got, status) // before the response, so that no record of the attempt is older
	w.WriteHeader(status)
}

func (r *Receiver) finish(got *Request, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	got.Status, got.Until = status, time.Now()
}

// slowAnswer is the delay of slow responses. It is well below every timeout.
const slowAnswer = time.Second

// answer returns the status for the n-th request about a publication, and the delay of the response. Status 0 means
// no response. The same seed gives the same answers.
func (w *Webhook) answer(seed uint64, ref string, n int) (status int, after time.Duration) {
	h := fnv.New32a()
	fmt.Fprintf(h, "%d %s %s", seed, w.Name, ref)
	at := h.Sum32() % 10_000
	share := func(hundredths uint32) bool {
		is := at < hundredths*100
		at -= min(at, hundredths*100)
		return is && hundredths > 0
	}
	switch {
	case w.Gone:
		return http.StatusGone, 0
	case share(w.Poison):
		return http.StatusInternalServerError, 0
	case share(w.Hang):
		if n == 1 {
			return 0, 0
		}
	case share(w.Flaky):
		if n <= 1+int(h.Sum32()>>16)%2 {
			return http.StatusInternalServerError, 0
		}
	case share(w.Slow):
		return http.StatusOK, slowAnswer
	}
	return http.StatusOK, 0
}

// read parses the request and records what is wrong with it.
func (got *Request) read(w *Webhook, header http.Header, body []byte) {
	var b struct {
		ID, Type, Topic, Text string
		Data                  json.RawMessage
		Sequence              int64 `json:"topic_sequence_number"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		got.Wrong = "body: " + err.Error()
		return
	}
	signature := ""
	switch w.Profile {
	case hook.ProfileStandard:
		id, err := hook.ParseEventID(b.ID)
		if err != nil {
			got.Wrong = "body: " + err.Error()
			return
		}
		got.EventID, got.Ref = id.UUID(), refOf(b.Data)
		signature = signing.HexSHA256(w.Secret, body)
		got.check(hmac.Equal([]byte(header.Get("X-Webhook-Signature")), []byte(signature)), "signature")
		got.Attempt, err = strconv.Atoi(header.Get("X-Webhook-Attempt"))
		got.check(err == nil, "X-Webhook-Attempt")
	case hook.ProfileCommenda:
		got.EventID, got.Ref = b.ID, refOf(b.Data)
		signature = signing.HexSHA256(w.Secret, body)
		got.check(hmac.Equal([]byte(header.Get("Commenda-X-Secret")), []byte(signature)), "signature")
	case hook.ProfileMomento:
		got.Sequence, got.Ref = b.Sequence, refOf([]byte(b.Text))
		signature = signing.HexSHA3(w.Secret, body)
		got.check(hmac.Equal([]byte(header.Get("momento-signature")), []byte(signature)), "signature")
	}
	got.check(got.Ref != "", "body: not what was published")
}

func (got *Request) check(ok bool, what string) {
	if !ok && got.Wrong == "" {
		got.Wrong = what
	}
}
