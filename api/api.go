// Package api serves the HTTP API: Huma operations, one file for each resource, with their request and answer types;
// authentication; and the table from kinds of errors to HTTP statuses. It uses the store, the workflow starter and the
// sender through small interfaces and must not import storage or a driver. Two invariants: every operation is added by
// register, so that no 5xx answer contains a cause; and the operations can be registered without any dependency, so
// that the OpenAPI document needs no database.
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

// Deps are the dependencies of the API.
type Deps struct {
	Store        Store
	Dispatcher   Dispatcher
	Sender       ManualSender
	Destinations Destinations
	Topics       Topics
	Changes      Changes
	Logger       *slog.Logger
	Config       Config
	// Checks decide the answer of /readyz, by name. If one fails, the process is not ready.
	Checks map[string]Check
	// Reports are shown by /readyz, by name, and don't decide its answer.
	Reports map[string]Check
	// Metrics counts requests; nil counts nothing.
	Metrics Metrics
	// Tracer records spans of requests and publishes; nil records none.
	Tracer *tracing.Tracer
}

// Config holds the settings of the API.
type Config struct {
	// Version is the product's version, for the OpenAPI document.
	Version string
	// MaxBody bounds a delivery's body, in bytes; default 102,400 (spec 2.4).
	MaxBody int
	// AllowHTTP lets Commenda webhooks have http URLs (C1).
	AllowHTTP bool
	// LongPoll is how long a subscriber waits for a message; default 30 s (M8).
	LongPoll time.Duration
	// NoAuth serves every local request as an admin of the default tenant, without an API key.
	NoAuth bool
	// TemporalUI is the base URL of the Temporal Web UI with the path of the namespace, for links to workflows; empty
	// for no links.
	TemporalUI string
	// KeyRateLimit bounds the requests per second, and the burst, of one API key in this process; 0 is no limit.
	KeyRateLimit int
	// MaxPolls bounds the subscribers of one API key that wait in this process at the same time; 0 is no limit.
	MaxPolls int
	// TenantRateLimit and TenantMaxPolls are the same bounds for all API keys of a tenant together; 0 is five times the
	// bound of one key.
	TenantRateLimit int
	TenantMaxPolls  int
	// MaxKeys bounds the API keys of a tenant that are neither revoked nor expired; default 100.
	MaxKeys int
	// PublishRate bounds the events per second, and the burst, that a tenant without a limit of its own publishes in this
	// process (K7); 0 is no limit.
	PublishRate int
	// PublicURL is the URL at which clients call the API; empty if it is not known. Webhooks can't have it as their
	// destination unless AllowOwnURL is set.
	PublicURL   string
	AllowOwnURL bool
	// CORSOrigins are the origins whose pages may call the API from a browser (P2); empty for none.
	CORSOrigins []string
	// Timeout bounds an operation, from when its request has been read; default 10 s. Operations that send a request to
	// a receiver have the timeout of sending and 5 s more.
	Timeout time.Duration
	// Memory is the memory limit of the process in bytes, an eighth of which answers may take; 0 is no limit.
	Memory int64
}

// Metrics counts requests.
type Metrics interface {
	// Request counts one request of an operation, by the operation's id.
	Request(operation string, status int, took time.Duration)
	// Refused counts publishes that were refused for a reason: events, and 1 for a request that was refused as a whole.
	Refused(reason hook.Kind, events int)
}

// Dispatcher starts the workflows of accepted work. Its methods never wait.
type Dispatcher interface {
	// Dispatch starts the workflow of an event.
	Dispatch(start hook.Start)
	// Drain starts the workflow that sends the deferred deliveries of a webhook.
	Drain(webhook hook.WebhookID)
	// Replay starts the workflow of a replay.
	Replay(replay hook.ReplayID)
	// DeleteTenant starts the workflow that deletes a tenant.
	DeleteTenant(tenant hook.TenantID)
}

// Topics delivers the messages of topics to subscribers.
type Topics interface {
	// Published reports that a topic has a new message, which is committed. It never waits.
	Published(topic hook.TopicID)
	// Follow yields the items of a topic from a position on as they arrive, until ctx ends. It yields an empty list
	// after each time of quiet without an item.
	Follow(ctx context.Context, topic hook.TopicID, from hook.Cursor, quiet time.Duration) iter.Seq2[[]hook.Item, error]
}

// Destinations decides which URLs requests may be sent to, without resolving names.
type Destinations interface {
	CheckURL(url string) error
	// CanonicalURL returns a URL in the form in which it is requested.
	CanonicalURL(url string) string
}

// API is the HTTP handler of the API.
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
	// polling ends when subscribers have to connect to another process.
	polling  context.Context //nolint:containedctx // it bounds all polls, not one request
	endPolls context.CancelFunc
}

const (
	defaultMaxBody = 102_400
	defaultTimeout = 10 * time.Second
	defaultMaxKeys = 100
	// defaultLongPoll is Momento's (M8).
	defaultLongPoll = 30 * time.Second
)

// New returns an API. It starts nothing.
func New(d Deps) (*API, error) {
	if d.Store == nil || d.Dispatcher == nil || d.Sender == nil || d.Destinations == nil || d.Topics == nil ||
		d.Changes == nil || d.Logger == nil {
		return nil, errors.New("api: store, dispatcher, sender, destinations, topics, changes and logger are required")
	}
	return build(d), nil
}

// Version is the version of the API in the OpenAPI document. The product has a version of its own.
const Version = "1.0.0"

// Document returns the OpenAPI document of the API.
func Document(version string) *huma.OpenAPI {
	return build(Deps{Config: Config{Version: version}}).huma.OpenAPI()
}

// begin sets all fields but those of the operations.
func (a *API) begin(d Deps) {
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
	a.Deps, a.limits, a.refusals, a.answers = d, newLimits(&d.Config), newRefusals(), newAnswers(d.Config.Memory)
	a.own, a.schemas = ownNames{}, schema.Cache{}
	a.shuttingDown, a.beginShutdown = make(chan struct{}), sync.Once{}
	if d.Config.PublicURL != "" && !d.Config.AllowOwnURL {
		a.own = ownOf(d.Destinations.CanonicalURL(d.Config.PublicURL))
	}
	a.polling, a.endPolls = context.WithCancel(context.Background())
}

func build(d Deps) *API {
	setHumaGlobals()
	a := &API{}
	a.begin(d)
	mux := http.NewServeMux()
	a.huma = humago.New(mux, humaConfig(d.Config.Version))
	a.registerWebhooks()
	a.registerSecrets()
	a.registerSigningKeys()
	a.registerEventTypes()
	a.registerEvents()
	a.registerTestSend()
	a.registerDeliveries()
	a.registerDiagnose()
	a.registerDeliverySearch()
	a.registerFind()
	a.registerReplays()
	a.registerKeys()
	a.registerTenants()
	a.registerAudit()
	a.registerUsage()
	a.registerTenantUsage()
	a.registerStats()
	a.registerChanges()
	a.registerMomento()
	a.registerTopics()
	a.registerCommenda()
	nameEnums(a.huma.OpenAPI())
	addExamples(a.huma.OpenAPI())
	a.registerHealth(mux)
	a.registerDocs(mux)
	a.handler = secured(crossOrigin(d.Config.CORSOrigins, a.recovering(a.withoutRoute(mux))))
	return a
}

// ServeHTTP serves the API, its documentation and its health checks.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// BeginShutdown makes /readyz answer 503, so that the load balancer sends no new requests while those under way end.
func (a *API) BeginShutdown() { a.beginShutdown.Do(func() { close(a.shuttingDown) }) }

// EndPolls answers all waiting subscribers, so that the server can stop.
func (a *API) EndPolls() { a.endPolls() }

// overview is the introduction of the API's documentation.
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
	// Answers have no $schema members and no Link headers (S1). The documentation page is our own, because it must load
	// nothing from other servers.
	c.CreateHooks = nil
	c.SchemasPath, c.DocsPath = "", ""
	c.RejectUnknownQueryParameters = true
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}
	c.Formats = map[string]huma.Format{jsonType: format, "json": format} // "json" is Huma's name for problem+json's form
	return c
}

// unmarshal decodes JSON more strictly than encoding/json: names are case-sensitive, and duplicate names, invalid UTF-8
// and numbers that would lose digits are errors. The canonical form turns 15.0 into the integer 15.
func unmarshal(data []byte, v any) error {
	canonical, err := canonjson.Canonicalize(data)
	if err != nil {
		return err
	}
	return json.Unmarshal(canonical, v)
}

// setHumaGlobals sets the package variables of Huma, once.
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

var humaGlobals sync.Once //nolint:gochecknoglobals // guards globals of Huma

// write answers a request with JSON outside of Huma's operations.
func write(w http.ResponseWriter, contentType string, status int, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	writeJSON(w, v)
}

func writeJSON(w io.Writer, v any) {
	_ = huma.DefaultJSONFormat.Marshal(w, v) // an error means that the client has gone
}
