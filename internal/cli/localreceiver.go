package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"grapnel/internal/hook"
)

// localReceiver verifies requests, prints them and answers with the given status codes.
type localReceiver struct {
	streams Streams
	json    bool
	secret  string
	profile hook.Profile
	status  []int
	delay   time.Duration
	enough  context.CancelFunc

	mu   sync.Mutex // guards the fields below and the output
	left int        // requests until it stops; 0 for no end
	seen map[string]int
}

// received is the printed part of a request.
type received struct {
	At       time.Time       `json:"at"`
	Type     string          `json:"type"`
	ID       string          `json:"id"`
	Attempt  int             `json:"attempt"`
	Verified bool            `json:"verified"`
	Status   int             `json:"status"`
	Headers  http.Header     `json:"headers"`
	Body     json.RawMessage `json:"body"`
}

// largestBody is larger than any body that the API sends, in bytes.
const largestBody = 2 << 20

// ServeHTTP implements http.Handler.
func (rc *localReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largestBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	status := rc.take(r.Header, body)
	if rc.delay > 0 {
		timer := time.NewTimer(rc.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return // the client is gone
		}
	}
	w.WriteHeader(status)
}

// take prints a request and returns the status code of its answer.
func (rc *localReceiver) take(h http.Header, body []byte) (status int) {
	var event struct{ ID, Type, Topic string }
	_ = json.Unmarshal(body, &event) // a body that is not JSON has no id and no type
	list := signatures(rc.profile, rc.secret, h, body)
	verified := len(list) > 0
	for _, signature := range list {
		verified = verified && signature.fits
	}
	rc.mu.Lock()
	defer rc.mu.Unlock()
	attempt := rc.attempt(h, event.ID)
	status = rc.status[min(attempt, len(rc.status))-1]
	rc.print(&received{
		At: time.Now().UTC(), Type: event.Type + event.Topic, ID: event.ID, Attempt: attempt,
		Verified: verified, Status: status, Headers: h, Body: body,
	})
	if rc.left > 0 {
		if rc.left--; rc.left == 0 {
			rc.enough()
		}
	}
	return status
}

func (rc *localReceiver) print(r *received) {
	if rc.json {
		if !json.Valid(r.Body) {
			r.Body, _ = json.Marshal(string(r.Body)) // a string can always be encoded
		}
		text, _ := json.Marshal(r) // so can this
		fmt.Fprintf(rc.streams.Out, "%s\n", text)
		return
	}
	p := &printer{colour: rc.streams.Colour}
	verdict := "fits"
	if !r.Verified {
		verdict = "does not fit"
	}
	fmt.Fprintf(&p.text, "%s  %s  %s  attempt %d  signature %s  → %d\n",
		r.At.Local().Format("15:04:05.000"), p.in(bold, clean(r.Type)), clean(r.ID), r.Attempt, p.paint(verdict), r.Status)
	var pretty bytes.Buffer
	if json.Indent(&pretty, r.Body, "", "  ") != nil {
		pretty.Reset()
		pretty.Write(r.Body)
	}
	for row := range strings.Lines(pretty.String()) {
		p.text.WriteString("    " + clean(strings.TrimRight(row, "\n")) + "\n")
	}
	fmt.Fprint(rc.streams.Out, p.text.String())
}
