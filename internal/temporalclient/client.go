// Package temporalclient is the connection to Temporal: one client per process, shared
// by what starts workflows and by the worker (else nothing starts eagerly), and
// the search attributes that our workflows need. It must not know workflows'
// insides.
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

	"grapnel/internal/wait"
	"grapnel/workflows"
)

// Cluster is a connection to Temporal, made when it is first needed.
type Cluster struct {
	// Client is shared by starters and worker.
	Client    client.Client
	Namespace string
	Address   string
}

// Config is what Open needs beside the environment.
type Config struct {
	Logger *slog.Logger
	// Metrics takes in what the SDK measures; nil takes nothing.
	Metrics client.MetricsHandler
	// Interceptors are those of the client and of workers that use it.
	Interceptors []interceptor.ClientInterceptor
}

// Open reads the standard TEMPORAL_* variables and the standard configuration
// file (see Temporal's documentation on environment configuration). It does not
// connect, so that a process can start while Temporal is away.
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
		// Without TLS it is this machine or its network, where compressing costs
		// more than it saves.
		options.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	}
	temporal, err := client.NewLazyClient(options)
	if err != nil {
		return nil, fmt.Errorf("temporal client: %w", err)
	}
	return &Cluster{Client: temporal, Namespace: options.Namespace, Address: options.HostPort}, nil
}

// Close ends the connection.
func (c *Cluster) Close() { c.Client.Close() }

// Ready reports whether Temporal answers and the namespace exists.
func (c *Cluster) Ready(ctx context.Context) error {
	_, err := c.Client.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: c.Namespace})
	if err != nil {
		return fmt.Errorf("temporal at %s: %w", c.Address, err)
	}
	return nil
}

// ResetActivity has an activity that waits for its next attempt make it now.
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

// retryEvery is how often AwaitReady asks.
const retryEvery = time.Second

// AwaitReady waits until Temporal answers and the search attributes exist. It
// returns early only when ctx ends.
func (c *Cluster) AwaitReady(ctx context.Context, logger *slog.Logger) error {
	told := ""
	for {
		err := c.makeReady(ctx)
		if err == nil {
			return nil
		}
		if err.Error() != told {
			told = err.Error()
			logger.WarnContext(ctx, "waiting for Temporal", slog.Any("error", err))
		}
		if err := wait.For(ctx, retryEvery); err != nil {
			return err
		}
	}
}

// keepEvery is how often KeepReady looks; what is accepted meanwhile is started later.
const keepEvery = 10 * time.Second

// KeepReady registers the search attributes again whenever they are gone, until ctx
// ends: Temporal may come back with an empty database, and without them takes no
// starts. Several processes may do so.
func (c *Cluster) KeepReady(ctx context.Context, logger *slog.Logger) error {
	told := ""
	for wait.For(ctx, keepEvery) == nil {
		err := c.makeReady(ctx)
		switch {
		case err == nil:
			told = ""
		case ctx.Err() == nil && err.Error() != told:
			told = err.Error()
			logger.WarnContext(ctx, "Temporal is not ready", slog.Any("error", err))
		}
	}
	return nil
}

func (c *Cluster) makeReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := c.Ready(ctx); err != nil {
		return err
	}
	return c.ensureSearchAttributes(ctx)
}

// IsLost tells that Temporal does not know the namespace any more.
func IsLost(err error) bool {
	var lost *serviceerror.NamespaceNotFound
	return errors.As(err, &lost)
}

// ensureSearchAttributes registers ours; it is idempotent and may run in several
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
