package cli

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	grapnelapi "grapnel/clients/go"
	"grapnel/internal/hook"
)

// connection has the flags of every command that calls the API.
type connection struct {
	URL string      `name:"url" default:"http://127.0.0.1:8080" help:"URL of the API."`
	Key hook.Secret `name:"key" placeholder:"KEY" help:"The API key."`
	// Tenant is sent as the header Grapnel-Tenant (K3).
	Tenant string `name:"tenant" placeholder:"TENANT" help:"Tenant to act for with a platform key: its id or external id; * for the lists of webhooks, events, deliveries, replays and portal sessions, the audit log and find, over all tenants."`
}

// callTimeout is longer than any call takes: tests and retries wait for the receiver.
const callTimeout = time.Minute

func (c *connection) client() (*grapnelapi.ClientWithResponses, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, failf(codeWrong, "--url %q: want an absolute http or https URL", c.URL)
	}
	options := []grapnelapi.ClientOption{grapnelapi.WithHTTPClient(&http.Client{Timeout: callTimeout})}
	if c.Tenant != "" {
		options = append(options, grapnelapi.WithTenant(c.Tenant))
	}
	return grapnelapi.New(c.URL, c.Key.Reveal(), options...)
}

// body is the body of a successful answer: the raw bytes, for programs, and the decoded value.
type body[T any] struct {
	raw   []byte
	value T
}

// take checks and decodes the answer of a client's call, whose results are its arguments.
func take[T any](answer grapnelapi.Answer, err error) (body[T], error) {
	var b body[T]
	if err := answered(answer, err); err != nil {
		return b, err
	}
	b.raw = answer.GetBody()
	if err := json.Unmarshal(b.raw, &b.value); err != nil {
		return b, stranger(err)
	}
	return b, nil
}

// given returns a pointer to a flag's value, or nil if the flag was not given.
func given[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// known returns the value at p, or the zero value if p is nil.
func known[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
