package grapnelapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// New makes a client of the API at url, as http://127.0.0.1:8080, that shows key
// with every request. Without [WithHTTPClient] requests have no time limit but
// their contexts'.
func New(url, key string, options ...ClientOption) (*ClientWithResponses, error) {
	authorize := WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+key)
		return nil
	})
	return NewClientWithResponses(url, append([]ClientOption{authorize}, options...)...)
}

// Answer is any answer of a [ClientWithResponses].
type Answer interface {
	StatusCode() int
	Status() string
	GetBody() []byte
}

// Check returns nil where the answer is a success, and what is wrong otherwise: a
// [*Problem] if the API says so, or else an error with the answer's status, which
// then comes from something between here and the API.
func Check(a Answer) error {
	if a.StatusCode() < http.StatusBadRequest {
		return nil
	}
	var p Problem
	if err := json.Unmarshal(a.GetBody(), &p); err != nil || p.Code == "" {
		return fmt.Errorf("the server answered %s", a.Status())
	}
	return &p
}

// Error says what is wrong and where, in one line.
func (p *Problem) Error() string {
	text := p.Title
	if p.Detail != nil {
		text = *p.Detail
	}
	places := make([]string, 0, len(p.Errors))
	for _, e := range p.Errors {
		places = append(places, e.Location+" "+e.Message)
	}
	if len(places) > 0 {
		text += ": " + strings.Join(places, "; ")
	}
	return fmt.Sprintf("%s (%d %s)", text, p.Status, p.Code)
}
