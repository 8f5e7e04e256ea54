package cli

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	grapnelapi "grapnel/clients/go"
	"grapnel/internal/hook"
)

// connection are the flags of every command that calls the API.
type connection struct {
	URL string      `name:"url" default:"http://127.0.0.1:8080" help:"Where the API is."`
	Key hook.Secret `name:"key" placeholder:"KEY" help:"The API key."`
}

// callTimeout is above what the API takes at most: tests and retries wait for the
// receiver.
const callTimeout = time.Minute

func (c *connection) client() (*grapnelapi.ClientWithResponses, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, failf(codeWrong, "--url %q: want an absolute http or https URL", c.URL)
	}
	return grapnelapi.New(c.URL, c.Key.Reveal(), grapnelapi.WithHTTPClient(&http.Client{Timeout: callTimeout}))
}

// body is an answer of success: as it came, for programs, and decoded.
type body[T any] struct {
	raw   []byte
	value T
}

// take waits for an answer's body; it is called with a call of the client.
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

// given is a flag's value, or nil where the flag was not given.
func given[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// known is a value that may be absent.
func known[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
