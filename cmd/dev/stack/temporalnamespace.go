package stack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"grapnel/internal/wait"
)

// namespaceTime bounds the wait for the namespace.
const namespaceTime = 30 * time.Second

// RegisterNamespace registers the namespace unless it exists, and waits until the services know it.
func RegisterNamespace(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, namespaceTime)
	defer cancel()
	c, err := TemporalClient(addr)
	if err != nil {
		return err
	}
	defer c.Close()

	_, err = c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace:                        TemporalNamespace,
		Description:                      "Grapnel",
		WorkflowExecutionRetentionPeriod: durationpb.New(temporalRetention),
	})
	var exists *serviceerror.NamespaceAlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("register namespace %s: %w", TemporalNamespace, err)
	}
	return AwaitNamespace(ctx, c)
}

// TemporalClient returns a client of the server at addr.
func TemporalClient(addr string) (client.Client, error) {
	c, err := client.NewLazyClient(client.Options{
		HostPort:          addr,
		Namespace:         TemporalNamespace,
		ConnectionOptions: client.ConnectionOptions{GrpcCompression: &client.GrpcCompressionNone{}},
	})
	if err != nil {
		return nil, fmt.Errorf("connect to Temporal at %s: %w", addr, err)
	}
	return c, nil
}

// AwaitNamespace waits until the services know the namespace.
func AwaitNamespace(ctx context.Context, c client.Client) error {
	for {
		err := answers(ctx, c)
		if err == nil {
			return nil
		}
		if wait.For(ctx, PollInterval) != nil {
			return fmt.Errorf("wait for namespace %s: %w", TemporalNamespace, err)
		}
	}
}

// DeleteNamespace deletes the namespace and everything in it.
func DeleteNamespace(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, namespaceTime)
	defer cancel()
	c, err := TemporalClient(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.OperatorService().DeleteNamespace(ctx, &operatorservice.DeleteNamespaceRequest{Namespace: TemporalNamespace}); err != nil {
		return fmt.Errorf("delete namespace %s: %w", TemporalNamespace, err)
	}
	return nil
}

// answers makes a request to every service that needs the namespace: frontend and visibility store, matching,
// history.
func answers(ctx context.Context, c client.Client) error {
	if _, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{}); err != nil {
		return fmt.Errorf("count workflows: %w", err)
	}
	if _, err := c.DescribeTaskQueue(ctx, "ready", 0); err != nil {
		return fmt.Errorf("describe task queue: %w", err)
	}
	var notFound *serviceerror.NotFound
	if _, err := c.DescribeWorkflowExecution(ctx, "ready", ""); !errors.As(err, &notFound) {
		return fmt.Errorf("describe workflow: %w", err)
	}
	return nil
}
