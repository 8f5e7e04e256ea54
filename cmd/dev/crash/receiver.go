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

// Request is what an endpoint got.
type Request struct {
	// Webhook is its name.
	Webhook string
	// Ref is the publication that the body carries, EventID the event it names, as a
	// UUID (Momento's names none), Sequence a message's number.
	Ref, EventID string
	Sequence     int64
	// Attempt is what X-Webhook-Attempt says; 0 where there is none.
	Attempt int
	// At is when it had come whole, Until when it was answered, or its sender gave up.
	At, Until time.Time
	// Status is the answer; 0 if there was none.
	Status int
	// Wrong is what was wrong with it: its signature, its body.
	Wrong string
}

// Receiver is all endpoints of the run. It keeps every request.
type Receiver struct {
	seed     uint64
	webhooks map[string]*Webhook
	server   *http.Server
	addr     string

	mu   sync.Mutex
	list []*Request
	// seen counts the requests of a publication by endpoint.
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
	go func() { _ = r.server.Serve(l) }() // it ends when it is closed
	return r, nil
}

// Addr is where it listens.
func (r *Receiver) Addr() string { return r.addr }

// Close ends it.
func (r *Receiver) Close() error { return r.server.Close() }

// Requests are those so far that came to one of the webhooks, or to none that there is.
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

// Got is how many a webhook's endpoint has got.
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
		return // it never came whole, and nobody gets an answer
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
	// Who has taken an event has taken it, whether or not its sender still lives.
	time.Sleep(after)
	r.finish(got, status) // before the answer, so that no record of it is older
	w.WriteHeader(status)
}

func (r *Receiver) finish(got *Request, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	got.Status, got.Until = status, time.Now()
}

// slowAnswer is how long slow answers take: well below every time-out.
const slowAnswer = time.Second

// answer is the status of the n-th request about a publication, 0 is none, and how
// long after it has come. The same seed gives the same answers.
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

// read takes apart what came, and says what is wrong with it.
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
