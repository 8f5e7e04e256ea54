package grapnelapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// New makes a client of the API at url, such as http://127.0.0.1:8080, that sends key with every request. Only a
// request's context limits its time, unless [WithHTTPClient] sets another client.
func New(url, key string, options ...ClientOption) (*ClientWithResponses, error) {
	authorize := WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+key)
		return nil
	})
	return NewClientWithResponses(url, append([]ClientOption{authorize}, options...)...)
}

// WithTenant lets every request act for the tenant with an id or an external id. It is for platform keys. "*" lists the
// webhooks, events and replays of all tenants.
func WithTenant(tenant string) ClientOption {
	return WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Grapnel-Tenant", tenant)
		return nil
	})
}

// Answer is any answer of a [ClientWithResponses].
type Answer interface {
	StatusCode() int
	Status() string
	GetBody() []byte
}

// Check returns nil if the answer is a success. Otherwise it returns the API's [*Problem], or, if the answer comes
// from a proxy in between, another error with the status.
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

// Error returns the problem and its locations in one line.
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
