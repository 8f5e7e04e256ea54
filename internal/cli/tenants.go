package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	grapnelapi "grapnel/clients/go"
)

// TenantCommands are the commands on tenants that call the API. Package main adds those on the database.
type TenantCommands struct {
	Get getTenantCommand `cmd:"" group:"api" help:"Show a tenant."`
	Put putTenantCommand `cmd:"" group:"api" help:"Make sure that there is a tenant with your own id of it: create it, or change the given settings."`
	// Usage is of one tenant or of all.
	Usage tenantUsageCommand `cmd:"" group:"api" help:"Count a tenant's events, deliveries and attempts by day or hour, or those of every tenant."`

	Suspend suspendTenantCommand `cmd:"" group:"api" help:"Suspend a tenant: nothing is published or sent for it, and nothing is lost."`
	Resume  resumeTenantCommand  `cmd:"" group:"api" help:"Make a suspended tenant active again: its waiting deliveries are sent."`
	Delete  deleteTenantCommand  `cmd:"" group:"api" help:"Delete a tenant with everything that it has. It can't be called back."`
}

// tenantName is the argument of commands on one tenant.
type tenantName struct {
	Name string `arg:"" name:"tenant" help:"The tenant's id, or your own id of it."`
}

// ListTenantsCommand lists tenants. Package main embeds it.
type ListTenantsCommand struct {
	connection
	output
	paging
	Status string `enum:",active,suspended,deleting" default:"" env:"-" help:"Only tenants in this state: active, suspended or deleting."`
	Name   string `env:"-" help:"Only tenants whose names begin with this."`
}

// Run lists tenants through the API.
func (c *ListTenantsCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	list, err := take[grapnelapi.TenantList](client.ListTenantsWithResponse(ctx, &grapnelapi.ListTenantsParams{
		Limit: &c.Limit, Cursor: given(c.Cursor), Status: given(grapnelapi.ListTenantsParamsStatus(c.Status)), Name: given(c.Name),
	}))
	if err != nil {
		return err
	}
	err = c.show(s, list.raw, func(p *printer) {
		rows := [][]string{{"ID", "NAME", "CREATED", "STATUS", "EXTERNAL ID"}}
		for _, t := range list.value.Tenants {
			rows = append(rows, []string{t.ID, clean(t.Name), moment(&t.CreatedAt), string(t.Status), clean(known(t.ExternalID))})
		}
		p.table(rows)
	})
	more(s, list.value.NextCursor)
	return err
}

type getTenantCommand struct {
	connection
	output
	tenantName
}

// Run shows a tenant.
func (c *getTenantCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	t, err := take[grapnelapi.Tenant](client.GetTenantWithResponse(ctx, c.Name))
	if err != nil {
		return err
	}
	return c.show(s, t.raw, func(p *printer) { p.tenant(&t.value) })
}

type putTenantCommand struct {
	connection
	output
	tenantName
	Called      string            `name:"name" env:"-" placeholder:"NAME" help:"What the tenant is called. Default for a new one: your own id of it."`
	Metadata    map[string]string `env:"-" mapsep:"none" placeholder:"KEY=VALUE" help:"What to note about it; may be repeated. Replaces all earlier pairs."`
	MaxWebhooks *int64            `env:"-" placeholder:"N" help:"Webhooks at most; 0 means no limit."`
	PublishRate *int64            `env:"-" placeholder:"N" help:"Events published per second at most; 0 means no limit."`
}

// Run creates or changes a tenant.
func (c *putTenantCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	put := grapnelapi.PutTenantRequest{Name: given(c.Called)}
	if len(c.Metadata) > 0 {
		put.Metadata = &c.Metadata
	}
	if c.MaxWebhooks != nil || c.PublishRate != nil {
		put.Limits = &grapnelapi.TenantLimitsRequest{MaxWebhooks: c.MaxWebhooks, PublishRate: c.PublishRate}
	}
	t, err := take[grapnelapi.Tenant](client.PutTenantWithResponse(ctx, c.Name, put))
	if err != nil {
		return err
	}
	return c.show(s, t.raw, func(p *printer) { p.tenant(&t.value) })
}

type (
	suspendTenantCommand struct{ tenantStatusCommand }
	resumeTenantCommand  struct{ tenantStatusCommand }
)

// tenantStatusCommand changes the status of a tenant.
type tenantStatusCommand struct {
	connection
	output
	tenantName
}

// Run suspends a tenant.
func (c *suspendTenantCommand) Run(ctx context.Context, s Streams) error {
	return c.set(ctx, s, grapnelapi.UpdateTenantRequestStatusSuspended)
}

// Run makes a tenant active again.
func (c *resumeTenantCommand) Run(ctx context.Context, s Streams) error {
	return c.set(ctx, s, grapnelapi.UpdateTenantRequestStatusActive)
}

func (c *tenantStatusCommand) set(ctx context.Context, s Streams, status grapnelapi.UpdateTenantRequestStatus) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	t, err := take[grapnelapi.Tenant](client.UpdateTenantWithResponse(ctx, c.Name, grapnelapi.UpdateTenantRequest{Status: &status}))
	if err != nil {
		return err
	}
	return c.show(s, t.raw, func(p *printer) { p.tenant(&t.value) })
}

// tenant prints a tenant.
func (p *printer) tenant(t *grapnelapi.Tenant) {
	pairs := []string{
		"id", t.ID, "external id", clean(known(t.ExternalID)), "name", clean(t.Name), "status", string(t.Status),
		"max webhooks", limit(t.Limits.MaxWebhooks), "publish rate", limit(t.Limits.PublishRate),
		"created", moment(&t.CreatedAt), "updated", moment(&t.UpdatedAt),
	}
	if d := t.Deletion; d != nil {
		pairs = append(pairs, "deletion", deletionText(d), "requested", moment(&d.RequestedAt), "workflow", d.WorkflowID)
	}
	for _, key := range slices.Sorted(maps.Keys(t.Metadata)) {
		pairs = append(pairs, "metadata", fmt.Sprintf("%s=%s", clean(key), clean(t.Metadata[key])))
	}
	p.facts(pairs...)
}

// limit returns a limit of a tenant as people read it; empty if it is the default of the service.
func limit(n *int64) string {
	switch {
	case n == nil:
		return ""
	case *n == 0:
		return "none"
	default:
		return strconv.FormatInt(*n, 10)
	}
}
