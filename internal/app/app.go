// Package app wires Grapnel's parts together, for the product and the dev stack
// alike, and decides in which order they stop. It holds no logic of its own.
package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"grapnel/activities"
	"grapnel/api"
	"grapnel/internal/config"
	"grapnel/internal/delivery"
	"grapnel/internal/dispatch"
	"grapnel/internal/egress"
	"grapnel/internal/hook"
	"grapnel/internal/metrics"
	"grapnel/internal/secrets"
	"grapnel/internal/temporalclient"
	"grapnel/internal/topics"
	"grapnel/internal/tracing/otlp"
	"grapnel/storage"
	"grapnel/worker"
	"grapnel/workflows"
)

// Roles are what a process does; a process may do both, and then starts and
// runs workflows over one connection, eagerly.
type Roles struct {
	API    bool
	Worker bool
}

// Options are what New needs beside the configuration.
type Options struct {
	Config  config.Config
	Roles   Roles
	Logger  *slog.Logger
	Version string
	// Resolver looks up receivers' names; nil is the system's. It is for tests.
	Resolver *net.Resolver
}

// App is a process's parts. Run it once.
type App struct {
	options    Options
	store      *storage.Store
	cluster    *temporalclient.Cluster
	egress     *egress.Client
	starter    *dispatch.Starter
	sweeper    *dispatch.Sweeper
	reconciler *dispatch.Reconciler
	worker     *worker.Worker
	// activities are nil without the worker's role.
	activities *activities.Activities
	api        *api.API
	topics     *topics.Hub
	metrics    *metrics.Metrics
	traces     *otlp.Provider
	plan       stopPlan
	adminKey   adminKey
}

// New builds the parts; it connects to nothing and starts nothing.
func New(ctx context.Context, o Options) (*App, error) {
	a := &App{
		options: o, adminKey: adminKey{ensured: make(chan struct{})}, metrics: metrics.New(), plan: planStop(o.Config.ShutdownTimeout, o.Roles),
	}
	if err := a.build(ctx); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

func (a *App) build(ctx context.Context) error {
	o := &a.options
	box, err := secrets.New(o.Config.EncryptionKey.Reveal())
	if err != nil {
		return err
	}
	if a.store, err = storage.Open(ctx, storage.Config{
		URL: o.Config.DatabaseURL.Reveal(), DirectURL: o.Config.DirectURL.Reveal(), Box: box, Metrics: a.metrics,
		Limits: storage.Limits{EventTypes: o.Config.MaxTypes, Deliveries: o.Config.MaxMade},
	}); err != nil {
		return err
	}
	a.metrics.WatchPool(func() metrics.PoolStat { return a.store.PoolStat() })
	a.metrics.WatchBacklog(o.Logger, a.store.Waiting)
	if a.traces, err = otlp.Open(ctx, o.Version, o.Logger); err != nil {
		return err
	}
	traced, err := a.traces.Temporal()
	if err != nil {
		return err
	}
	a.cluster, err = temporalclient.Open(temporalclient.Config{
		Logger: o.Logger.With(slog.String("component", "temporal")), Metrics: a.metrics.Temporal(), Interceptors: traced,
	})
	if err != nil {
		return err
	}
	a.egress, err = egress.New(egress.Config{Allow: o.Config.AllowDestinations, UserAgent: userAgent(o.Version), Resolver: o.Resolver})
	if err != nil {
		return err
	}
	if o.Roles.Worker {
		if err := a.buildWorker(); err != nil {
			return err
		}
	}
	a.starter, err = dispatch.NewStarter(dispatch.StarterConfig{
		Temporal: a.cluster.Client, Outbox: a.store, Logger: o.Logger, MaxEvents: o.Config.MaxEvents, Prefetch: a.loadAhead(),
		Labels: a.store, Metrics: a.metrics, Tracer: a.traces.Tracer(),
	})
	if err != nil {
		return err
	}
	a.metrics.WatchQueue(a.starter.Queued)
	a.store.OnOperational(a.starter.Dispatch)
	a.sweeper = &dispatch.Sweeper{
		Starter: a.starter, Backlog: a.store, Maintenance: a.store, Temporal: a.cluster.Client, Resetter: a.cluster,
		Health: a.cluster, Cancellations: &dispatch.Cancellations{Store: a.store, Logger: o.Logger},
		Logger: o.Logger, Retention: o.Config.Retention,
	}
	a.reconciler = &dispatch.Reconciler{
		OverdueStore: a.store, Temporal: a.cluster.Client, Resetter: a.cluster, Health: a.cluster, Logger: o.Logger, After: o.Config.ReconcileAfter,
		Metrics: a.metrics, Tracer: a.traces.Tracer(),
	}
	if o.Roles.API {
		if err := a.buildAPI(); err != nil { //nolint:contextcheck // requests bring their own contexts
			return err
		}
	}
	return nil
}

func (a *App) buildWorker() error {
	c := &a.options.Config
	var err error
	a.activities, err = activities.New(activities.Deps{
		Deps: delivery.Deps{
			Store: a.store, Lookup: a.store, Sender: a.egress, DeferredStore: a.store,
			Drains:   &dispatch.Drains{Temporal: a.cluster.Client, Labels: a.store, Metrics: a.metrics},
			Schedule: c.Schedule(), Logger: a.options.Logger, DisableOnFinal: c.DisableFinal,
			Metrics: a.metrics, Tracer: a.traces.Tracer(), Memory: memoryLimit(),
		},
		DrainStore: a.store, Replays: a.store,
	})
	if err != nil {
		return err
	}
	for budget := range a.activities.Engine().MemoryUse() {
		a.metrics.WatchMemory(budget, func() (used, size, waiting int64) {
			use := a.activities.Engine().MemoryUse()[budget]
			return use.Used, use.Size, use.Waiting
		})
	}
	a.worker, err = worker.New(worker.Config{
		Client: a.cluster.Client, Workflows: &workflows.Workflows{Schedule: c.Schedule()}, Activities: a.activities,
		Logger: a.options.Logger, StopTimeout: a.plan.worker,
	})
	return err
}

// loadAhead is how the starter tells a worker in this process what is about to come.
func (a *App) loadAhead() func(context.Context, hook.EventID) {
	if a.activities == nil {
		return nil
	}
	return a.activities.Engine().Prefetch
}

func (a *App) buildAPI() error {
	c := &a.options.Config
	ui := strings.TrimSuffix(c.TemporalUI, "/")
	if ui != "" {
		ui += "/namespaces/" + a.cluster.Namespace
	}
	var err error
	a.topics, err = topics.New(topics.Config{Store: a.store, Logger: a.options.Logger, Age: c.TopicAge, Newest: c.TopicKeep})
	if err != nil {
		return err
	}
	reports := map[string]api.Check{"temporal": a.cluster.Ready}
	if a.worker != nil {
		reports["worker"] = a.workerRuns
	}
	a.api, err = api.New(api.Deps{
		Store: a.store, Dispatcher: a.starter, Sender: &dispatch.SendNow{Temporal: a.cluster.Client, Metrics: a.metrics},
		Destinations: a.egress, Topics: a.topics, Logger: a.options.Logger,
		Config: api.Config{
			Version: api.Version, MaxBody: c.MaxBody, AllowHTTP: c.AllowHTTP, NoAuth: c.Auth == "none", TemporalUI: ui,
			KeyRateLimit: c.KeyRate, MaxPolls: c.MaxPolls, TenantRateLimit: c.TenantRate, TenantMaxPolls: c.TenantPoll,
			MaxKeys: c.MaxKeys, PublicURL: c.PublicURL, AllowOwnURL: c.AllowOwn, Memory: memoryLimit(),
		},
		Checks:  map[string]api.Check{"database": a.store.Ping, "migrations": a.store.Ready, "admin_key": a.adminKeyWorks},
		Reports: reports,
		Metrics: a.metrics, Tracer: a.traces.Tracer(),
	})
	if err != nil {
		return err
	}
	a.metrics.WatchMemory("answers", a.api.AnswerMemory)
	return nil
}

// WorkerStarted is closed when the worker polls; nil without the worker's role.
func (a *App) WorkerStarted() <-chan struct{} {
	if a.worker == nil {
		return nil
	}
	return a.worker.Started()
}

// Listen takes the API's address, so that a busy one is an error before
// anything has begun.
func (a *App) Listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", a.options.Config.APIAddr)
	if err != nil {
		return nil, fmt.Errorf("--api-addr: %w", err)
	}
	return l, nil
}

// Close lets go of connections; call it after Run.
func (a *App) Close() {
	if a.egress != nil {
		a.egress.Close()
	}
	if a.cluster != nil {
		a.cluster.Close()
	}
	if a.store != nil {
		a.store.Close()
	}
}

func userAgent(version string) string { return "Grapnel/" + version }
