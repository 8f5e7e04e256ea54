// Package app builds a process from Grapnel's parts, for the product and the dev stack,
// and stops the parts in the right order. It is the composition root: it has no other logic.
package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"grapnel/activities"
	"grapnel/api"
	"grapnel/console"
	"grapnel/internal/changes"
	"grapnel/internal/config"
	"grapnel/internal/delivery"
	"grapnel/internal/dispatch"
	"grapnel/internal/egress"
	"grapnel/internal/hook"
	"grapnel/internal/maintenance"
	"grapnel/internal/metrics"
	"grapnel/internal/secrets"
	"grapnel/internal/temporalclient"
	"grapnel/internal/topics"
	"grapnel/internal/tracing/otlp"
	"grapnel/storage"
	"grapnel/worker"
	"grapnel/workflows"
)

// Roles are the tasks of a process. A process with both roles starts and
// runs workflows over one connection, eagerly.
type Roles struct {
	API    bool
	Worker bool
}

// Options are the arguments of New.
type Options struct {
	Config  config.Config
	Roles   Roles
	Logger  *slog.Logger
	Version string
	// Resolver looks up receivers' names, for tests; nil means the system's resolver.
	Resolver *net.Resolver
}

// App is the parts of a process. Call Run at most once.
type App struct {
	options     Options
	store       *storage.Store
	cluster     *temporalclient.Cluster
	egress      *egress.Client
	starter     *dispatch.Starter
	sweeper     *dispatch.Sweeper
	reconciler  *dispatch.Reconciler
	maintenance *maintenance.Maintenance
	worker      *worker.Worker
	// activities is nil without the role Worker.
	activities *activities.Activities
	api        *api.API
	console    http.Handler
	topics     *topics.Hub
	changes    *changes.Watch
	metrics    *metrics.Metrics
	// owner is nil unless the process has both roles.
	owner    *delivery.Owner
	traces   *otlp.Provider
	plan     stopPlan
	adminKey adminKey
}

// New builds the parts. It opens no connections and starts nothing.
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
		Limits: storage.Limits{EventTypes: o.Config.MaxTypes, Deliveries: o.Config.MaxMade, Webhooks: o.Config.MaxHooks},
		Owner:  func() hook.ProcessID { return a.owner.Current() },
	}); err != nil {
		return err
	}
	a.metrics.WatchPool(func() metrics.PoolStat { return a.store.PoolStat() })
	a.metrics.WatchBacklog(o.Logger, a.store.Backlog)
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
	a.starter, err = dispatch.NewStarter(dispatch.StarterConfig{
		Temporal: a.cluster.Client, Outbox: a.store, Logger: o.Logger, MaxEvents: o.Config.MaxEvents, StartsPerSecond: o.Config.StartsPerSecond,
		Labels: a.store, Metrics: a.metrics, Tracer: a.traces.Tracer(),
	})
	if err != nil {
		return err
	}
	a.metrics.WatchQueue(a.starter.Queued)
	if o.Roles.Worker {
		if err := a.buildWorker(); err != nil {
			return err
		}
	}
	if err := a.buildLoops(); err != nil {
		return err
	}
	if o.Roles.API {
		if err := a.buildAPI(); err != nil { //nolint:contextcheck // requests bring their own contexts
			return err
		}
	}
	return nil
}

// buildLoops builds the parts that every process runs, whatever its roles.
func (a *App) buildLoops() (err error) {
	o, temporal := &a.options, a.cluster.Client
	a.sweeper, err = dispatch.NewSweeper(dispatch.SweeperConfig{
		Starter: a.starter, Store: a.store, Temporal: temporal, Resetter: a.cluster, Health: a.cluster, Logger: o.Logger,
		Process: a.owner.Current,
	})
	if err != nil {
		return err
	}
	a.reconciler, err = dispatch.NewReconciler(dispatch.ReconcilerConfig{
		Store: a.store, Temporal: temporal, Resetter: a.cluster, Health: a.cluster, Logger: o.Logger, After: o.Config.ReconcileAfter,
		Metrics: a.metrics, Tracer: a.traces.Tracer(),
	})
	if err != nil {
		return err
	}
	a.maintenance, err = maintenance.New(maintenance.Config{
		Store: a.store, Logger: o.Logger, Retention: o.Config.Retention,
		AuditRetention: o.Config.AuditRetention, UsageRetention: o.Config.UsageRetention,
	})
	return err
}

func (a *App) buildWorker() error {
	c := &a.options.Config
	drains, err := dispatch.NewDrains(a.cluster.Client, a.store, a.metrics)
	if err != nil {
		return err
	}
	if a.options.Roles.API {
		if a.owner, err = delivery.NewOwner(a.store, a.options.Logger); err != nil {
			return err
		}
	}
	a.activities, err = activities.New(activities.Deps{
		Deps: delivery.Deps{
			Store: a.store, Lookup: a.store, Sender: a.egress, DeferredStore: a.store, Drains: drains, Dispatcher: a.starter,
			Heartbeats: a.store, Owner: a.owner, Starts: a.starter,
			Schedule: c.Schedule(), Logger: a.options.Logger, DisableOnFinal: c.DisableFinal,
			Metrics: a.metrics, Tracer: a.traces.Tracer(), Memory: memoryLimit(),
		},
		DrainStore: a.store, Replays: a.store, Deletions: a.store,
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

// dispatcher returns the dispatcher of accepted events: in a process with a worker their first attempts begin at once.
func (a *App) dispatcher() api.Dispatcher {
	if a.activities == nil {
		return a.starter
	}
	return dispatcher{a.starter, a.activities.Engine()}
}

// dispatcher makes the first attempts of events, and starts the workflows of drains and replays.
type dispatcher struct {
	*dispatch.Starter
	engine *delivery.Engine
}

// Dispatch delivers an accepted event.
func (d dispatcher) Dispatch(start hook.Start) { d.engine.Accept(start) }

func (a *App) buildAPI() error {
	c := &a.options.Config
	ui := strings.TrimSuffix(c.TemporalUI, "/")
	if ui != "" {
		ui += "/namespaces/" + a.cluster.Namespace
	}
	sendNow, err := dispatch.NewSendNow(a.cluster.Client, a.metrics)
	if err != nil {
		return err
	}
	a.topics, err = topics.New(topics.Config{Store: a.store, Logger: a.options.Logger, Age: c.TopicAge, Newest: c.TopicKeep})
	if err != nil {
		return err
	}
	if a.changes, err = changes.New(changes.Config{Store: a.store, Logger: a.options.Logger}); err != nil {
		return err
	}
	reports := map[string]api.Check{"temporal": a.cluster.Ready}
	if a.worker != nil {
		reports["worker"] = a.workerRuns
	}
	a.api, err = api.New(api.Deps{
		Store: a.store, Dispatcher: a.dispatcher(), Sender: sendNow,
		Destinations: a.egress, Topics: a.topics, Changes: a.changes, Logger: a.options.Logger,
		Config: api.Config{
			Version: api.Version, MaxBody: c.MaxBody, AllowHTTP: c.AllowHTTP, NoAuth: c.Auth == "none", TemporalUI: ui,
			KeyRateLimit: c.KeyRate, MaxPolls: c.MaxPolls, TenantRateLimit: c.TenantRate, TenantMaxPolls: c.TenantPoll,
			MaxKeys: c.MaxKeys, PublishRate: c.MaxPublish, PublicURL: c.PublicURL, AllowOwnURL: c.AllowOwn, Memory: memoryLimit(),
			CORSOrigins: c.CORSOrigins,
		},
		Checks:  map[string]api.Check{"database": a.store.Ping, "migrations": a.store.Ready, "admin_key": a.adminKeyWorks},
		Reports: reports,
		Metrics: a.metrics, Tracer: a.traces.Tracer(),
	})
	if err != nil {
		return err
	}
	a.metrics.WatchMemory("answers", a.api.AnswerMemory)
	a.console, err = console.Handler(console.Config{FrameAncestors: c.FrameAncestors})
	return err
}

// WorkerStarted returns a channel that is closed when the worker polls; nil without the role Worker.
func (a *App) WorkerStarted() <-chan struct{} {
	if a.worker == nil {
		return nil
	}
	return a.worker.Started()
}

// Listen listens on the API's address. Call it before Run, so that a busy address is an error before
// anything has started.
func (a *App) Listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", a.options.Config.APIAddr)
	if err != nil {
		return nil, fmt.Errorf("--api-addr: %w", err)
	}
	return l, nil
}

// Close closes the connections. Call it after Run.
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
