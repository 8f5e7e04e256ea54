// Command example creates a webhook at the dev stack's receiver, publishes an event and prints the result of its
// delivery.
//
//	go -C cmd/dev run .                                   # prints the API key
//	GRAPNEL_KEY=gk_… go -C clients/go run ./example
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	grapnelapi "grapnel/clients/go"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "example:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	client, err := grapnelapi.New(cmp.Or(os.Getenv("GRAPNEL_URL"), "http://127.0.0.1:8080"), os.Getenv("GRAPNEL_KEY"))
	if err != nil {
		return err
	}
	receiver := cmp.Or(os.Getenv("RECEIVER_URL"), "http://127.0.0.1:9000")

	created, err := client.CreateWebhookWithResponse(ctx, grapnelapi.CreateWebhookRequest{
		URL: receiver + "/", Events: []string{"user.created"},
	})
	if err := answered(created, err); err != nil {
		return err
	}
	webhook := created.JSON201
	fmt.Printf("webhook %s, which signs with %s\n", webhook.ID, webhook.Secret)
	defer func() {
		deleted, deleting := client.DeleteWebhookWithResponse(ctx, webhook.ID)
		err = errors.Join(err, answered(deleted, deleting))
	}()

	published, err := client.PublishEventWithResponse(ctx, nil, grapnelapi.PublishEventRequest{
		Type: "user.created", Data: map[string]any{"id": "user_123"},
	})
	if err := answered(published, err); err != nil {
		return err
	}
	fmt.Printf("event %s for %d webhook(s)\n", published.JSON202.ID, published.JSON202.Deliveries)
	return follow(ctx, client, webhook.ID)
}

// follow waits until the webhook's delivery has ended, and prints its status.
func follow(ctx context.Context, client *grapnelapi.ClientWithResponses, webhook string) error {
	for {
		listed, err := client.ListDeliveriesWithResponse(ctx, webhook, nil)
		if err := answered(listed, err); err != nil {
			return err
		}
		for _, d := range listed.JSON200.Deliveries {
			if d.Status != grapnelapi.DeliveryStatusPending {
				fmt.Printf("delivery %s: %s, attempts: %d\n", d.ID, d.Status, d.Attempts)
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// answered returns the error of a request: err itself, or the problem in the answer.
func answered(answer grapnelapi.Answer, err error) error {
	if err != nil {
		return err
	}
	return grapnelapi.Check(answer)
}
