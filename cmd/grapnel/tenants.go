package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"grapnel/internal/config"
	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

type tenantsCommand struct {
	Create createTenantCommand `cmd:"" help:"Create a tenant and print its first admin key. The key is never shown again."`
	List   listTenantsCommand  `cmd:"" help:"List tenants."`
}

type createTenantCommand struct {
	config.Database
	Name string `arg:"" help:"Name of the tenant."`
}

// Run creates a tenant.
func (c *createTenantCommand) Run(ctx context.Context, stdout io.Writer) error {
	t := hook.Tenant{Name: c.Name}
	if err := t.Validate(); err != nil {
		return err
	}
	store, err := openForKeys(ctx, &c.Database)
	if err != nil {
		return err
	}
	defer store.Close()
	text := secrets.NewAPIKey()
	t, _, err = store.CreateTenant(asOperator(ctx), t, text)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s\n%s\n", t.ID, text.Reveal())
	return err
}

type listTenantsCommand struct{ config.Database }

// Run lists tenants.
func (c *listTenantsCommand) Run(ctx context.Context, stdout io.Writer) error {
	store, err := openForKeys(ctx, &c.Database)
	if err != nil {
		return err
	}
	defer store.Close()
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tCREATED")
	page := hook.Page{Limit: 100}
	for more := true; more; {
		var tenants []hook.Tenant
		if tenants, more, err = store.Tenants(ctx, page); err != nil {
			return err
		}
		for _, t := range tenants {
			fmt.Fprintf(table, "%s\t%s\t%s\n", t.ID, t.Name, t.CreatedAt.Format(time.RFC3339))
			last := [16]byte(t.ID)
			page.Before = &last
		}
	}
	return table.Flush()
}
