package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	verify "grapnel/verify/go"
)

const (
	receiverFlag = "--receiver-addr"
	// maxBody is the largest body Grapnel sends.
	maxBody = 1 << 20
	// maxShown limits the part of a body that is printed, so that lines stay readable.
	maxShown = 500
	// maxDelay is longer than every timeout, and bounds how long a receiver waits.
	maxDelay = 5 * time.Minute
	// receiverStop is how long requests may take to finish when the receiver stops.
	receiverStop = 2 * time.Second
)

// receiverOptions configures the sample receiver.
type receiverOptions struct {
	// Secrets are the signing secrets. A signature by any of them is valid.
	Secrets []string
	// Out gets one line per request.
	Out io.Writer
}

// receiver is the sample receiver of the development stack. It verifies each request, prints it, and answers 200 or
// as the query says:
//
//	?status=500,500,200  answers by X-Webhook-Attempt; the last status repeats
//	?delay=2s            waits before it answers
type receiver struct {
	opts receiverOptions
	mu   sync.Mutex // guards opts.Out
}

// newReceiver returns the receiver's handler.
func newReceiver(opts receiverOptions) http.Handler { return &receiver{opts: opts} }

// ServeHTTP implements http.Handler.
func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	status, delay, err := wishes(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	rc.print(r, body, status)
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return // the sender has gone
		}
	}
	w.WriteHeader(status)
}

// print writes the request's line.
func (rc *receiver) print(r *http.Request, body []byte, status int) {
	var event struct {
		ID    string `json:"id"`
		Type  string `json:"type"`  // standard
		Topic string `json:"topic"` // Commenda, Momento
	}
	_ = json.Unmarshal(body, &event) // any body is accepted; the line shows it
	word := "NO"
	if Verified(r.Header, body, rc.opts.Secrets) {
		word = "yes"
	}
	line := fmt.Sprintf("%s  %s  %s  attempt %s  verified %s  → %d  %s\n",
		time.Now().Format("15:04:05.000"),
		clean(or(r.Header.Get("X-Event-Type"), event.Type, event.Topic)),
		clean(or(r.Header.Get("Webhook-Id"), event.ID)),
		clean(or(r.Header.Get("X-Webhook-Attempt"))),
		word, status, shown(body))
	rc.mu.Lock()
	defer rc.mu.Unlock()
	_, _ = io.WriteString(rc.opts.Out, line) // the terminal may be gone; the response still counts
}

// wishes parses the query: the status for this attempt, and the delay.
func wishes(r *http.Request) (status int, delay time.Duration, err error) {
	query := r.URL.Query()
	status = http.StatusOK
	if list := query.Get("status"); list != "" {
		codes := strings.Split(list, ",")
		attempt, err := strconv.Atoi(r.Header.Get("X-Webhook-Attempt"))
		if err != nil {
			attempt = 1 // not every profile numbers attempts
		}
		status, err = strconv.Atoi(strings.TrimSpace(codes[min(max(attempt, 1), len(codes))-1]))
		if err != nil || status < 200 || status > 599 {
			return 0, 0, fmt.Errorf("status %q: want codes from 200 to 599 with commas between them", list)
		}
	}
	if text := query.Get("delay"); text != "" {
		delay, err = time.ParseDuration(text)
		if err != nil || delay < 0 || delay > maxDelay {
			return 0, 0, fmt.Errorf("delay %q: want a duration up to %s, such as 2s", text, maxDelay)
		}
	}
	return status, delay, nil
}

// Verified reports whether the request has a valid signature by one of the secrets, in the form of any profile.
func Verified(h http.Header, body []byte, secrets []string) bool {
	for _, check := range []func(string, http.Header, []byte) error{verify.Standard, verify.Commenda, verify.Momento} {
		for _, secret := range secrets {
			if check(secret, h, body) == nil {
				return true
			}
		}
	}
	return false
}

// or returns the first text that is not empty, or a dash.
func or(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return "-"
}

// shown shortens the body to fit on a line.
func shown(body []byte) string {
	var compact bytes.Buffer
	if json.Compact(&compact, body) == nil {
		body = compact.Bytes()
	}
	if len(body) > maxShown {
		return clean(string(body[:maxShown])) + fmt.Sprintf("… (%d bytes)", len(body))
	}
	return clean(string(body))
}

// clean replaces unprintable characters, so that a request cannot print lines or terminal codes of its own.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '·'
	}, s)
}

// receiverServer is a receiver that listens.
type receiverServer struct {
	// URL is the base URL for webhooks.
	URL string

	server *http.Server
	done   chan error
}

// startReceiver serves the sample receiver on addr. It returns a *portError if the port is in use.
func startReceiver(ctx context.Context, addr string, opts receiverOptions) (*receiverServer, error) {
	l, err := Listen(ctx, receiverFlag, addr)
	if err != nil {
		return nil, err
	}
	s := &receiverServer{
		URL:    "http://" + l.Addr().String(),
		server: &http.Server{Handler: newReceiver(opts), ReadHeaderTimeout: 10 * time.Second},
		done:   make(chan error, 1),
	}
	go func() { s.done <- s.server.Serve(l) }()
	return s, nil
}

// Stop gives requests a moment to finish, and then closes their connections.
func (s *receiverServer) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, receiverStop)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		if err := s.server.Close(); err != nil {
			return fmt.Errorf("stop receiver: %w", err)
		}
	}
	if err := <-s.done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("receiver: %w", err)
	}
	return nil
}
