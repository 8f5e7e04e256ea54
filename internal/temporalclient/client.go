// Package temporalclient is the connection to Temporal. A process has one client, which the starter and the worker share:
// workflows start eagerly only over the worker's client. The package also registers the search attributes of Grapnel's
// workflows. It must not know how the workflows work.
package temporalclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"

	"grapnel/internal/errlog"
	"grapnel/internal/wait"
	"grapnel/workflows"
)

// Cluster is a connection to Temporal. It connects with its first call.
type Cluster struct {
	// Client is shared by the starter and the worker.
	Client    client.Client
	Namespace string
	Address   string
}

// Config is what Open needs beside the environment.
type Config struct {
	Logger *slog.Logger
	// Metrics receives the metrics of the SDK; nil receives none.
	Metrics client.MetricsHandler
	// Interceptors are used by the client and by the workers that use it.
	Interceptors []interceptor.ClientInterceptor
}

// Open reads the standard TEMPORAL_* variables and the standard configuration file (see Temporal's documentation on
// environment configuration). It does not connect, so that a process can start while Temporal is unavailable.
func Open(c Config) (*Cluster, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return nil, fmt.Errorf("temporal configuration: %w", err)
	}
	if options.Namespace == "" {
		options.Namespace = client.DefaultNamespace
	}
	if options.HostPort == "" {
		options.HostPort = client.DefaultHostPort
	}
	options.Logger = log.NewStructuredLogger(c.Logger)
	options.MetricsHandler, options.Interceptors = c.Metrics, c.Interceptors
	if options.ConnectionOptions.TLS == nil {
		// Without TLS Temporal runs on this machine or in its network, where compression costs more than it saves.
		options.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	}
	temporal, err := client.NewLazyClient(options)
	if err != nil {
		return nil, fmt.Errorf("temporal client: %w", err)
	}
	return &Cluster{Client: temporal, Namespace: options.Namespace, Address: options.HostPort}, nil
}

// Close closes the connection.
func (c *Cluster) Close() { c.Client.Close() }

// Ready reports whether Temporal answers and the namespace exists.
func (c *Cluster) Ready(ctx context.Context) error {
	_, err := c.Client.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: c.Namespace})
	if err != nil {
		return fmt.Errorf("temporal at %s: %w", c.Address, err)
	}
	return nil
}

// ResetActivity resets the backoff of an activity: its next attempt begins now.
func (c *Cluster) ResetActivity(ctx context.Context, workflowID, runID, activityID string) error {
	_, err := c.Client.WorkflowService().ResetActivity(ctx, &workflowservice.ResetActivityRequest{
		Namespace: c.Namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: workflowID, RunId: runID},
		Activity: &workflowservice.ResetActivityRequest_Id{Id: activityID}, KeepPaused: true,
	})
	if err != nil {
		return fmt.Errorf("reset activity %s of workflow %s: %w", activityID, workflowID, err)
	}
	return nil
}

// retryEvery is the pause between two attempts of AwaitReady.
const retryEvery = time.Second

// AwaitReady blocks until Temporal answers and the search attributes exist. It returns an error only when ctx ends.
func (c *Cluster) AwaitReady(ctx context.Context, logger *slog.Logger) error {
	errs := errlog.New(logger)
	for {
		err := c.makeReady(ctx)
		if err == nil {
			return nil
		}
		errs.Log(ctx, "waiting for Temporal", err)
		if err := wait.For(ctx, retryEvery); err != nil {
			return err
		}
	}
}

// keepEvery is the pause between two checks of KeepReady. Events accepted meanwhile are started later.
const keepEvery = 10 * time.Second

// KeepReady registers the search attributes again whenever they are gone, until ctx ends. Temporal may come back with an
// empty database, and without the search attributes it takes no starts. Several processes may do so at once.
func (c *Cluster) KeepReady(ctx context.Context, logger *slog.Logger) error {
	errs := errlog.New(logger)
	for wait.For(ctx, keepEvery) == nil {
		errs.Log(ctx, "Temporal is not ready", c.makeReady(ctx))
	}
	return nil
}

// readyTimeout bounds one attempt to make Temporal ready.
const readyTimeout = 10 * time.Second

func (c *Cluster) makeReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := c.Ready(ctx); err != nil {
		return err
	}
	return c.ensureSearchAttributes(ctx)
}

// IsLost reports whether the error says that Temporal does not know the namespace any more.
func IsLost(err error) bool {
	var lost *serviceerror.NamespaceNotFound
	return errors.As(err, &lost)
}

// ensureSearchAttributes registers Grapnel's search attributes that do not exist. It is idempotent and may run in several
// processes at once.
func (c *Cluster) ensureSearchAttributes(ctx context.Context) error {
	a := workflows.Attributes()
	want := map[string]enumspb.IndexedValueType{
		a.EventID.GetName(): a.EventID.GetValueType(), a.EventType.GetName(): a.EventType.GetValueType(),
		a.WebhookID.GetName(): a.WebhookID.GetValueType(), a.TenantID.GetName(): a.TenantID.GetValueType(),
	}
	have, err := c.Client.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: c.Namespace})
	if err != nil {
		return fmt.Errorf("list search attributes: %w", err)
	}
	for name := range have.GetCustomAttributes() {
		delete(want, name)
	}
	if len(want) == 0 {
		return nil
	}
	_, err = c.Client.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: c.Namespace, SearchAttributes: want,
	})
	var exists *serviceerror.AlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("add search attributes: %w", err)
	}
	return nil
}
