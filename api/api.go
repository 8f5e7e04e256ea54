// Package api is the HTTP side of Grapnel: Huma operations by resource, one file
// each, their DTOs, authentication, and the table from error kinds to HTTP. It
// speaks to the store, the starter and the sender through small interfaces and
// must not import storage or a driver. Its invariants: every operation is
// registered by register, so that a 5xx never carries a cause; and everything
// can be registered without dependencies, so that the OpenAPI document needs no
// database.
package api

import (
	"context"
	_ "embed"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/danielgtaylor/huma/v2/validation"
	"github.com/go-json-experiment/json"

	"grapnel/internal/canonjson"
	"grapnel/internal/hook"
	"grapnel/internal/schema"
	"grapnel/internal/tracing"
)

// Deps are what New needs.
type Deps struct {
	Store        Store
	Dispatcher   Dispatcher
	Sender       ManualSender
	Destinations Destinations
	Topics       Topics
	Logger       *slog.Logger
	Config       Config
	// Checks are what /readyz asks, by name; the first that fails makes it say no.
	Checks map[string]Check
	// Reports are what /readyz shows without its answer depending on it.
	Reports map[string]Check
	// Metrics counts requests; nil counts none.
	Metrics Metrics
	// Tracer makes spans of requests and publishes; nil makes none.
	Tracer *tracing.Tracer
}

// Config is what the API can be told.
type Config struct {
	// Version is the product's, as the OpenAPI document shows it.
	Version string
	// MaxBody bounds a delivery's body, in bytes; default 102,400 (spec 2.4).
	MaxBody int
	// AllowHTTP lets Commenda webhooks have http URLs (C1).
	AllowHTTP bool
	// LongPoll is how long a subscriber waits for a message; default 30 s (M8).
	LongPoll time.Duration
	// NoAuth lets everybody in as an admin of the default tenant.
	NoAuth bool
	// TemporalUI is the base URL of the Temporal Web UI with the namespace's path,
	// for links; empty for none.
	TemporalUI string
	// KeyRateLimit is how many requests per second one API key may make of this
	// process, and as many at once; 0 for no limit.
	KeyRateLimit int
	// MaxPolls is how many subscribers of one API key may wait in this process at
	// once; 0 for no limit.
	MaxPolls int
	// TenantRateLimit and TenantMaxPolls are the same for all of a tenant's keys
	// together; 0 is five times what one key may.
	TenantRateLimit int
	TenantMaxPolls  int
	// MaxKeys is how many API keys a tenant may have that are neither revoked nor
	// expired; default 100.
	MaxKeys int
	// PublicURL is where the API's users call it; empty if that is not known. Webhooks
	// can't have it for a destination, unless AllowOwnURL.
	PublicURL   string
	AllowOwnURL bool
	// Timeout bounds an operation once its request has been read; default 10 s.
	// Operations that send have the time of sending and 5 s.
	Timeout time.Duration
	// Memory is the process's limit, in bytes, of which answers may hold a part; 0 is none.
	Memory int64
}

// Metrics counts requests.
type Metrics interface {
	// Request counts one request of an operation, by its id.
	Request(operation string, status int, took time.Duration)
}

// Dispatcher takes what was accepted on to its workflows; it never waits.
type Dispatcher interface {
	// Dispatch has an event's workflow started.
	Dispatch(start hook.Start)
	// Drain has the workflow started that sends what is parked of a webhook's.
	Drain(webhook hook.WebhookID)
	// Replay has the workflow of a replay started.
	Replay(replay hook.ReplayID)
}

// Topics lets subscribers follow what is published to topics.
type Topics interface {
	// Published says that a topic has a new message, which is committed. It never
	// waits.
	Published(topic hook.TopicID)
	// Follow yields the topic's items from a place on as they come, until ctx ends;
	// nothing, when none has come for the time of quiet.
	Follow(ctx context.Context, topic hook.TopicID, from hook.Cursor, quiet time.Duration) iter.Seq2[[]hook.Item, error]
}

// Destinations reports whether requests may go to a URL, as far as that can be
// said without resolving names.
type Destinations interface {
	CheckURL(url string) error
	// CanonicalURL is the URL as it is requested.
	CanonicalURL(url string) string
}

// API serves HTTP.
type API struct {
	Deps
	huma     huma.API
	handler  http.Handler
	limits   *limits
	refusals *refusals
	own      ownNames
	answers  *answers
	schemas  schema.Cache
	// shuttingDown is closed when the process begins to shut down.
	shuttingDown  chan struct{}
	beginShutdown sync.Once
	// polling ends when subscribers must connect to another process.
	polling  context.Context //nolint:containedctx // it is the end of all polls, not of one request
	endPolls context.CancelFunc
}

const (
	defaultMaxBody = 102_400
	defaultTimeout = 10 * time.Second
	defaultMaxKeys = 100
	// defaultLongPoll is Momento's (M8).
	defaultLongPoll = 30 * time.Second
)

// New builds the API. It starts nothing.
func New(d Deps) (*API, error) {
	if d.Store == nil || d.Dispatcher == nil || d.Sender == nil || d.Destinations == nil || d.Topics == nil || d.Logger == nil {
		return nil, errors.New("api: store, dispatcher, sender, destinations, topics and logger are required")
	}
	return build(d), nil
}

// Version is the API's version, in the OpenAPI document. The binary has another.
const Version = "1.0.0"

// Document is the API without anything behind it: only its OpenAPI document is
// of use.
func Document(version string) *huma.OpenAPI {
	return build(Deps{Config: Config{Version: version}}).huma.OpenAPI()
}

func build(d Deps) *API {
	setHumaGlobals()
	if d.Config.MaxBody == 0 {
		d.Config.MaxBody = defaultMaxBody
	}
	if d.Config.Timeout == 0 {
		d.Config.Timeout = defaultTimeout
	}
	if d.Config.LongPoll == 0 {
		d.Config.LongPoll = defaultLongPoll
	}
	if d.Config.MaxKeys == 0 {
		d.Config.MaxKeys = defaultMaxKeys
	}
	mux := http.NewServeMux()
	a := &API{
		Deps: d, huma: humago.New(mux, humaConfig(d.Config.Version)), limits: newLimits(&d.Config), refusals: newRefusals(),
		answers: newAnswers(d.Config.Memory),
		shuttingDown: make(chan struct{}),
	}
	if d.Config.PublicURL != "" && !d.Config.AllowOwnURL {
		a.own = ownOf(d.Destinations.CanonicalURL(d.Config.PublicURL))
	}
	a.polling, a.endPolls = context.WithCancel(context.Background())
	a.registerWebhooks()
	a.registerSecrets()
	a.registerSigningKeys()
	a.registerEventTypes()
	a.registerEvents()
	a.registerTestSend()
	a.registerDeliveries()
	a.registerReplays()
	a.registerKeys()
	a.registerTenants()
	a.registerMomento()
	a.registerTopics()
	a.registerCommenda()
	nameEnums(a.huma.OpenAPI())
	addExamples(a.huma.OpenAPI())
	a.registerHealth(mux)
	a.registerDocs(mux)
	a.handler = secured(a.recovering(a.withoutRoute(mux)))
	return a
}

// ServeHTTP serves the API, its document and its health.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// BeginShutdown makes /readyz answer 503, so that the load balancer sends no new requests while those under way end.
func (a *API) BeginShutdown() { a.beginShutdown.Do(func() { close(a.shuttingDown) }) }

// EndPolls answers all waiting subscribers, so that the server can stop.
func (a *API) EndPolls() { a.endPolls() }

// overview is what the API's page begins with.
//
//go:embed overview.md
var overview string

func humaConfig(version string) huma.Config {
	c := huma.DefaultConfig("Grapnel", version)
	c.Info.Description = overview
	c.Info.License = &huma.License{Name: "Apache-2.0", URL: "https://www.apache.org/licenses/LICENSE-2.0"} // 3.0 has no identifier
	c.Components.SecuritySchemes = securitySchemes()
	c.Servers = []*huma.Server{{URL: "/", Description: "This server"}}
	c.Tags = tags()
	// No $schema members and Link headers in answers (S1), and a docs page of our
	// own, which loads nothing from elsewhere.
	c.CreateHooks = nil
	c.SchemasPath, c.DocsPath = "", ""
	c.RejectUnknownQueryParameters = true
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}
	c.Formats = map[string]huma.Format{jsonType: format, "json": format} // "json" is Huma's name for problem+json's form
	return c
}

// unmarshal is strict where encoding/json is not: names are case-sensitive,
// duplicate names, invalid UTF-8 and numbers that lose digits are errors. In
// canonical form 15.0 is the integer that it is.
func unmarshal(data []byte, v any) error {
	canonical, err := canonjson.Canonicalize(data)
	if err != nil {
		return err
	}
	return json.Unmarshal(canonical, v)
}

// setHumaGlobals sets, once, the settings that Huma keeps in globals.
func setHumaGlobals() {
	humaGlobals.Do(func() {
		huma.DefaultArrayNullable = false
		huma.ValidateStrictCasing = true
		huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
			return newHumaError(nil, status, msg, errs...)
		}
		huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
			p := newHumaError(ctx, status, msg, errs...)
			refusalOf(ctx.Context()).note(p)
			return p
		}
		validation.MsgExpectedRFC3339DateTime = textTime
	})
}

var humaGlobals sync.Once //nolint:gochecknoglobals // guards globals that are Huma's

// write answers outside of Huma's operations.
func write(w http.ResponseWriter, contentType string, status int, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	writeJSON(w, v)
}

func writeJSON(w io.Writer, v any) {
	_ = huma.DefaultJSONFormat.Marshal(w, v) // the client has gone; there is nobody to tell
}
