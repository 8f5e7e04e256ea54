// Package config is Grapnel's configuration: one struct whose tags define flags,
// environment variables, defaults and help. The product and the dev stack share it.
// Validate reports every problem together. Secrets print as ***.
// Temporal's own settings are the standard TEMPORAL_* variables.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// EnvPrefix is the prefix of Grapnel's environment variables.
const EnvPrefix = "GRAPNEL"

// Database configures the connection to PostgreSQL.
type Database struct {
	DatabaseURL hook.Secret `name:"database-url" env:"GRAPNEL_DATABASE_URL,DATABASE_URL" placeholder:"URL" help:"PostgreSQL connection string; pool_max_conns in it sets the size of the pool. It may name a connection pooler, such as pgbouncer in transaction mode."`
	DirectURL   hook.Secret `name:"direct-database-url" placeholder:"URL" help:"Connection string of PostgreSQL itself, if --database-url names a connection pooler. Optional: with it migrate connects past the pooler, and an API learns at once of messages published in other processes; without it, within 500 ms."`
}

// Keys configures the encryption of secrets at rest.
type Keys struct {
	EncryptionKey hook.Secret `placeholder:"BASE64,…" help:"Keys that encrypt secrets at rest: base64 of 32 bytes each, separated by commas. The first one encrypts, all of them decrypt."`
}

// API configures the HTTP API.
type API struct {
	APIAddr        string        `default:"127.0.0.1:8080" help:"Address the API listens on."`
	AdminKey       hook.Secret   `placeholder:"KEY" help:"The operator's key, at least 20 characters. It is created as an admin key of the tenant default if it does not exist; the operator's key that was configured before ends."`
	Auth           string        `default:"key" enum:"key,none" help:"none requires no API key. It refuses to listen beyond loopback, and refuses pages of another origin and requests by a host name other than localhost."`
	TemporalUI     string        `name:"temporal-ui-url" placeholder:"URL" help:"Base URL of the Temporal Web UI, for links in the API's answers."`
	MaxBody        int           `default:"102400" help:"Largest body of a delivery, in bytes; at most 1048576. The default is the default limit of Express."`
	TopicAge       time.Duration `name:"topic-retention" default:"24h" help:"How long subscribers can read a topic's messages; never longer than --retention."`
	TopicKeep      int           `name:"topic-messages" default:"10000" help:"How many of a topic's newest messages subscribers can read."`
	KeyRate        int           `name:"key-rate-limit" default:"0" help:"Requests per second that one API key may send to one process, and how many of them at once. Further requests are answered with 429. A batch is one request. 0 means no limit."`
	MaxPolls       int           `name:"max-polls" default:"10000" help:"Long polls and streams of topics that one API key may have open in one process. Further ones are answered with 429. 0 means no limit."`
	TenantRate     int           `name:"tenant-rate-limit" default:"0" help:"Like --key-rate-limit, for all API keys of a tenant together. 0 means five times --key-rate-limit."`
	TenantPoll     int           `name:"tenant-max-polls" default:"0" help:"Like --max-polls, for all API keys of a tenant together. 0 means five times --max-polls."`
	MaxHooks       int           `name:"tenant-max-webhooks" default:"0" help:"Webhooks that a tenant may have, on all surfaces together, unless it has a limit of its own (max_webhooks). One more is refused with 422. 0 means no limit."`
	MaxPublish     int           `name:"tenant-publish-rate" default:"0" help:"Events per second that a tenant may publish to one process, and how many of them at once, unless it has a limit of its own (publish_rate). Further events are answered with 429, in a batch each in its place. 0 means no limit."`
	MaxKeys        int           `name:"max-keys" default:"100" help:"API keys that a tenant may have at once, without revoked and expired ones. One more is refused with 422."`
	PublicURL      string        `name:"public-url" placeholder:"URL" help:"URL at which users call the API, for links to the application. Webhooks cannot have this host as their destination, whatever the path, because a delivery that publishes an event would cause another delivery."`
	AllowOwn       bool          `name:"allow-own-url" help:"Allow --public-url as a destination of webhooks."`
	CORSOrigins    []string      `name:"cors-origins" placeholder:"ORIGIN,…" help:"Origins whose pages may call the API from a browser, exactly as browsers send them: https://app.example.com. Default: none."`
	FrameAncestors []string      `name:"frame-ancestors" placeholder:"ORIGIN,…" help:"Origins whose pages may embed the application at /console/ in a frame: https://app.example.com. Default: none."`
	MaxTypes       int           `name:"max-event-types" default:"5000" help:"Event types that a tenant may add to the built-in ones. 0 means no limit."`
	MaxMade        int           `name:"max-deliveries" default:"100000" help:"Deliveries that one publish or one batch may create. A larger one is refused as a whole with 422. 0 means no limit."`
	DrainDelay     time.Duration `default:"2s" help:"How long a stopping API still accepts requests after /readyz has begun to fail, so that load balancers notice. It is part of --shutdown-timeout. 0 means not at all."`
}

// Delivery configures the sending of requests.
type Delivery struct {
	RetrySchedule     []time.Duration `default:"30s,5m,30m,2h" help:"Delays before attempts 2 to 5, each from the end of the attempt before."`
	AllowDestinations []netip.Prefix  `placeholder:"CIDR,…" help:"Address ranges that requests may go to although they are loopback, private or otherwise special."`
	AllowHTTP         bool            `name:"allow-http" help:"Allow http URLs for Commenda webhooks; other webhooks may always have them."`
	DisableFinal      bool            `name:"disable-webhook-after-failed-delivery" help:"Disable a webhook when one of its deliveries has failed for good."`
	MaxEvents         int             `name:"max-events-per-workflow" default:"500" help:"Events that may share one workflow in a burst, 1 to 500. 1 always gives each event a workflow of its own."`
	StartsPerSecond   float64         `name:"workflow-starts-per-second" default:"20" help:"Workflows that a process with API and worker starts per second for events whose first attempts it has made itself. Events that wait for a start share one. 0 means no limit."`
	ReconcileAfter    time.Duration   `default:"10m" help:"How long a delivery's attempt may be overdue before its workflow is checked. A workflow that has ended or is lost is started again."`
	Retention         time.Duration   `default:"720h" help:"How long events, messages, deliveries and attempts are kept."`
	AuditRetention    time.Duration   `default:"9600h" help:"How long the entries of the audit log are kept. The default is 400 days."`
	UsageRetention    time.Duration   `default:"9600h" help:"How long the counts of what tenants have used are kept. The default is 400 days."`
}

// Process configures what every long-running process has.
type Process struct {
	ShutdownTimeout time.Duration `default:"45s" help:"How long a stopping process may take to finish everything in progress. Keep it well above the longest attempt of 30 s."`
	MetricsAddr     string        `default:"127.0.0.1:9464" help:"Address that serves Prometheus' /metrics, without a key; empty means none. If the port is busy, the process logs that and runs without metrics: give a second process on one machine an address of its own."`
	LogLevel        string        `default:"info" enum:"debug,info,warn,error" help:"Least severe level of messages that are logged."`
	LogFormat       string        `default:"json" enum:"json,text" help:"Format of the log on standard error."`
}

// Config is the whole configuration of a process.
type Config struct {
	Database
	Keys
	API
	Delivery
	Process
}

// Schedule returns the retry schedule.
func (d *Delivery) Schedule() hook.Schedule { return d.RetrySchedule }

// Validate reports all invalid settings together.
func (c *Config) Validate() error {
	return errors.Join(c.Database.Validate(), c.Keys.Validate(), c.API.validate(), c.Delivery.validate(), c.Process.validate())
}

// ValidateWorker reports all invalid settings of a worker together.
func (c *Config) ValidateWorker() error {
	return errors.Join(c.Database.Validate(), c.Keys.Validate(), c.Delivery.validate(), c.Process.validate())
}

// Validate reports invalid settings of the database, for commands that need no others.
func (d *Database) Validate() error {
	if d.DatabaseURL == "" {
		return errors.New("--database-url (DATABASE_URL) is required")
	}
	return nil
}

// Validate reports an unusable encryption key, for commands that need few other settings.
func (k *Keys) Validate() error {
	if k.EncryptionKey == "" {
		return errors.New("--encryption-key (GRAPNEL_ENCRYPTION_KEY) is required: openssl rand -base64 32")
	}
	if _, err := secrets.New(k.EncryptionKey.Reveal()); err != nil {
		return fmt.Errorf("--encryption-key: %w", err)
	}
	return nil
}

// minAdminKey is the least number of characters of --admin-key.
const minAdminKey = 20

// largestBody is the largest value of --max-body, in bytes (spec 2.4).
const largestBody = 1 << 20

func (a *API) validate() error {
	var errs []error
	host, _, err := net.SplitHostPort(a.APIAddr)
	if err != nil {
		errs = append(errs, fmt.Errorf("--api-addr %q: want host:port", a.APIAddr))
	} else if a.Auth == "none" && !isLoopback(host) {
		errs = append(errs, fmt.Errorf("--auth=none needs a loopback address, not --api-addr %q", a.APIAddr))
	}
	if a.AdminKey != "" && len(a.AdminKey) < minAdminKey {
		errs = append(errs, fmt.Errorf("--admin-key: want at least %d characters", minAdminKey))
	}
	if strings.ContainsFunc(a.AdminKey.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
		errs = append(errs, errors.New("--admin-key: want printable ASCII without spaces"))
	}
	if a.TemporalUI != "" {
		if u, err := url.Parse(a.TemporalUI); err != nil || u.Host == "" {
			errs = append(errs, fmt.Errorf("--temporal-ui-url %q: want an absolute URL", a.TemporalUI))
		}
	}
	if a.MaxBody < 1024 || a.MaxBody > largestBody {
		errs = append(errs, fmt.Errorf("--max-body %d: want 1024 to %d", a.MaxBody, largestBody))
	}
	if a.TopicAge < time.Second {
		errs = append(errs, fmt.Errorf("--topic-retention %v: want at least 1s", a.TopicAge))
	}
	if a.TopicKeep < 1 {
		errs = append(errs, fmt.Errorf("--topic-messages %d: want at least 1", a.TopicKeep))
	}
	if a.KeyRate < 0 {
		errs = append(errs, fmt.Errorf("--key-rate-limit %d: want 0 or more", a.KeyRate))
	}
	if a.MaxTypes < 0 {
		errs = append(errs, fmt.Errorf("--max-event-types %d: want 0 or more", a.MaxTypes))
	}
	if a.MaxMade < 0 {
		errs = append(errs, fmt.Errorf("--max-deliveries %d: want 0 or more", a.MaxMade))
	}
	if a.MaxPolls < 0 {
		errs = append(errs, fmt.Errorf("--max-polls %d: want 0 or more", a.MaxPolls))
	}
	if a.TenantRate < 0 {
		errs = append(errs, fmt.Errorf("--tenant-rate-limit %d: want 0 or more", a.TenantRate))
	}
	if a.TenantPoll < 0 {
		errs = append(errs, fmt.Errorf("--tenant-max-polls %d: want 0 or more", a.TenantPoll))
	}
	if a.MaxHooks < 0 || a.MaxHooks > hook.MaxTenantLimit {
		errs = append(errs, fmt.Errorf("--tenant-max-webhooks %d: want 0 to %d", a.MaxHooks, hook.MaxTenantLimit))
	}
	if a.MaxPublish < 0 || a.MaxPublish > hook.MaxTenantLimit {
		errs = append(errs, fmt.Errorf("--tenant-publish-rate %d: want 0 to %d", a.MaxPublish, hook.MaxTenantLimit))
	}
	if a.MaxKeys < 1 {
		errs = append(errs, fmt.Errorf("--max-keys %d: want at least 1", a.MaxKeys))
	}
	if a.PublicURL != "" {
		if u, err := url.Parse(a.PublicURL); err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
			errs = append(errs, fmt.Errorf("--public-url %q: want an absolute http or https URL", a.PublicURL))
		}
	}
	errs = append(errs, a.validateOrigins()...)
	if a.DrainDelay < 0 {
		errs = append(errs, fmt.Errorf("--drain-delay %v: want 0s or more", a.DrainDelay))
	}
	return errors.Join(errs...)
}

// mostEvents is the largest value of --max-events-per-workflow.
const mostEvents = 500

// mostStartsPerSecond is the largest value of --workflow-starts-per-second.
const mostStartsPerSecond = 100_000

func (d *Delivery) validate() error {
	var errs []error
	if err := d.Schedule().Validate(); err != nil {
		errs = append(errs, fmt.Errorf("--retry-schedule: %w", err))
	}
	if d.MaxEvents < 1 || d.MaxEvents > mostEvents {
		errs = append(errs, fmt.Errorf("--max-events-per-workflow %d: want 1 to %d", d.MaxEvents, mostEvents))
	}
	if !(d.StartsPerSecond >= 0 && d.StartsPerSecond <= mostStartsPerSecond) {
		errs = append(errs, fmt.Errorf("--workflow-starts-per-second %v: want 0 to %d", d.StartsPerSecond, mostStartsPerSecond))
	}
	if d.ReconcileAfter < time.Second {
		errs = append(errs, fmt.Errorf("--reconcile-after %v: want at least 1s", d.ReconcileAfter))
	}
	if d.Retention < 24*time.Hour {
		errs = append(errs, fmt.Errorf("--retention %v: want at least 24h", d.Retention))
	}
	if d.AuditRetention < 24*time.Hour {
		errs = append(errs, fmt.Errorf("--audit-retention %v: want at least 24h", d.AuditRetention))
	}
	if d.UsageRetention < 24*time.Hour {
		errs = append(errs, fmt.Errorf("--usage-retention %v: want at least 24h", d.UsageRetention))
	}
	return errors.Join(errs...)
}

func (p *Process) validate() error {
	var errs []error
	if p.ShutdownTimeout < time.Second {
		errs = append(errs, fmt.Errorf("--shutdown-timeout %v: want at least 1s", p.ShutdownTimeout))
	}
	if p.MetricsAddr != "" {
		if _, _, err := net.SplitHostPort(p.MetricsAddr); err != nil {
			errs = append(errs, fmt.Errorf("--metrics-addr %q: want host:port", p.MetricsAddr))
		}
	}
	return errors.Join(errs...)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
