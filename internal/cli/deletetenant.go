package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	grapnelapi "grapnel/clients/go"
)

type deleteTenantCommand struct {
	connection
	output
	tenantName
	Yes  bool `env:"-" help:"Do not ask. Otherwise the tenant's name must be typed."`
	Wait bool `env:"-" help:"Wait until the tenant is gone, and show the progress."`
}

// deletionPoll is the time between two looks at the progress of a deletion.
const deletionPoll = time.Second

// Run deletes a tenant, once the user has confirmed it.
func (c *deleteTenantCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	found, err := take[grapnelapi.Tenant](client.GetTenantWithResponse(ctx, c.Name))
	if err != nil {
		return err
	}
	if !c.Yes {
		if err := confirm(s, &found.value); err != nil {
			return err
		}
	}
	// By its id: another tenant may have the external id by now.
	t, err := take[grapnelapi.Tenant](client.DeleteTenantWithResponse(ctx, found.value.ID))
	if err != nil {
		return err
	}
	if c.Wait {
		return c.wait(ctx, s, client, &t.value)
	}
	return c.show(s, t.raw, func(p *printer) { p.tenant(&t.value) })
}

// confirm asks for the name of the tenant that is to be deleted.
func confirm(s Streams, t *grapnelapi.Tenant) error {
	fmt.Fprintf(s.Err, "This deletes the tenant %s (%s) with everything that it has.\nType its name to go on: ", clean(t.Name), t.ID)
	typed, err := bufio.NewReader(s.In).ReadString('\n')
	if err != nil && typed == "" {
		return errors.New("not confirmed: nothing was deleted; give --yes to delete without a question")
	}
	if strings.TrimSpace(typed) != t.Name {
		return errors.New("that is not the tenant's name: nothing was deleted")
	}
	return nil
}

// wait shows the progress, a line for each change, until the tenant is gone.
func (c *deleteTenantCommand) wait(ctx context.Context, s Streams, client *grapnelapi.ClientWithResponses, t *grapnelapi.Tenant) error {
	shown := ""
	for {
		if text := deletionText(t.Deletion); text != shown {
			shown = text
			fmt.Fprintln(s.Err, text)
		}
		answer, err := client.GetTenantWithResponse(ctx, t.ID)
		if err == nil && answer.StatusCode() == http.StatusNotFound {
			_, err = fmt.Fprintln(s.Out, t.ID, "deleted")
			return err
		}
		next, err := take[grapnelapi.Tenant](answer, err)
		if err != nil {
			return err
		}
		t = &next.value
		select {
		case <-time.After(deletionPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// deletionText describes the progress of a deletion.
func deletionText(d *grapnelapi.TenantDeletion) string {
	if d == nil {
		return ""
	}
	return fmt.Sprintf("%s: %d webhooks, %d events and %d deliveries deleted", d.Phase, d.Webhooks, d.Erased, d.Deliveries)
}
