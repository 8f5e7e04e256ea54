package stack

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"

	"grapnel/internal/config"
	"grapnel/internal/hook"
)

// Layouts of --processes.
const (
	layoutOne     = "one"
	layoutSplit   = "split"
	layoutProduct = "product"
)

// Options are the flags of the stack: the product's, under the same names, and those of PostgreSQL, Temporal and the
// receiver.
type Options struct {
	config.Config
	DataDir      string `placeholder:"DIR" help:"Directory of the state, which is kept between runs. Default: grapnel-dev in the user's cache directory."`
	Fresh        bool   `help:"Delete the state of earlier runs first."`
	TemporalAddr string `default:"127.0.0.1:7233" help:"Address of the Temporal server."`
	UIAddr       string `name:"ui-addr" default:"127.0.0.1:8233" help:"Address of the Temporal Web UI."`
	ReceiverAddr string `default:"127.0.0.1:9000" help:"Address of the sample receiver."`
	NoReceiver   bool   `help:"Start no sample receiver."`
	PostgresPort int    `default:"0" help:"Port of PostgreSQL. 0 means any free port."`
	Processes    string `default:"one" enum:"one,split,product" help:"Layout of the processes. one: all in one process. split: one process each for the API, the worker and the Temporal server. product: API and worker in one process, like grapnel serve, the Temporal server in another."`
	Pgbouncer    bool   `help:"Run pgbouncer in transaction mode between Grapnel and the stack's PostgreSQL. pgbouncer must be installed."`
	Restart      bool   `help:"Restart a process that has ended unexpectedly. Requires --processes=split or product."`

	// Role is the role of a process of its own.
	Role string `hidden:"" enum:",api,worker,serve,temporal" default:"" env:"-"`
	// NameServer resolves the names of receivers instead of the system's resolver. The end-to-end tests have names
	// that resolve to forbidden addresses.
	NameServer netip.AddrPort `hidden:"" env:"-"`
}

// resolver returns a resolver that uses NameServer; nil means the system's resolver.
func (o *Options) resolver() *net.Resolver {
	if !o.NameServer.IsValid() {
		return nil
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, o.NameServer.String())
	}}
}

// Validate replaces the product's Validate, because the stack generates values that the product requires.
func (o *Options) Validate() error {
	if o.Restart && o.Processes == layoutOne {
		return errors.New("--restart goes with --processes=split and --processes=product")
	}
	if o.Pgbouncer && o.DatabaseURL != "" {
		return errors.New("--pgbouncer goes before the stack's own PostgreSQL, not that of --database-url")
	}
	return nil
}

// complete fills in the values that the stack has generated, and validates the product's options.
func (o *Options) complete(s Credentials, databaseURL, uiURL string) error {
	o.DatabaseURL = hook.Secret(databaseURL)
	if o.EncryptionKey == "" {
		o.EncryptionKey = hook.Secret(s.Encryption)
	}
	if o.AdminKey == "" {
		o.AdminKey = hook.Secret(s.Admin)
	}
	if o.TemporalUI == "" {
		o.TemporalUI = uiURL
	}
	if len(o.AllowDestinations) == 0 {
		o.AllowDestinations = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	o.DrainDelay = 0
	return o.Config.Validate()
}

// setTemporalEnvironment points the product's Temporal client at the stack's server. It removes the user's settings.
func setTemporalEnvironment(addr string) error {
	for _, name := range []string{"TEMPORAL_API_KEY", "TEMPORAL_TLS", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE"} {
		if err := os.Unsetenv(name); err != nil {
			return err
		}
	}
	return errors.Join(os.Setenv("TEMPORAL_ADDRESS", addr), os.Setenv("TEMPORAL_NAMESPACE", TemporalNamespace))
}

// openLog opens the log file of a process, at the level of --log-level.
func openLog(path string, o *Options) (*slog.Logger, *os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // a fixed name in the data directory
	if err != nil {
		return nil, nil, err
	}
	var level slog.Level
	_ = level.UnmarshalText([]byte(o.LogLevel)) // the flag's enum allows nothing else
	return slog.New(slog.NewJSONHandler(f, &slog.HandlerOptions{Level: level})), f, nil
}
