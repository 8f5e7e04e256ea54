package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"grapnel/internal/cli"
	"grapnel/internal/config"
	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

type tenantsCommand struct {
	Create createTenantCommand `cmd:"" help:"Create a tenant and print its first admin key. The key is never shown again."`
	List   listTenantsCommand  `cmd:"" help:"List tenants: on the database if --database-url is set, and otherwise through the API."`
	cli.TenantCommands
}

type createTenantCommand struct {
	config.Database
	Name       string `arg:"" help:"Name of the tenant."`
	ExternalID string `name:"external-id" env:"-" help:"Your own id of the tenant: printable characters, not beginning with ten_."`
}

// Run creates a tenant.
func (c *createTenantCommand) Run(ctx context.Context, stdout io.Writer) error {
	t := hook.Tenant{Name: c.Name, ExternalID: c.ExternalID}
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

type listTenantsCommand struct {
	config.Database
	cli.ListTenantsCommand
}

// Validate takes the place of Database's: without a database the list comes from the API.
func (c *listTenantsCommand) Validate() error { return nil }

// Run lists tenants.
func (c *listTenantsCommand) Run(ctx context.Context, stdout io.Writer, s cli.Streams) error {
	if c.DatabaseURL.Reveal() == "" {
		return c.ListTenantsCommand.Run(ctx, s)
	}
	store, err := openForKeys(ctx, &c.Database)
	if err != nil {
		return err
	}
	defer store.Close()
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tCREATED\tSTATUS\tEXTERNAL ID")
	page := hook.Page{Limit: 100}
	for more := true; more; {
		tenants, next, err := store.Tenants(ctx, hook.TenantSearch{Status: hook.TenantStatus(c.Status), NamePrefix: c.Name}, page)
		if err != nil {
			return err
		}
		for _, t := range tenants {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", t.ID, t.Name, t.CreatedAt.Format(time.RFC3339), t.Status, t.ExternalID)
		}
		page.Before, more = next, next != nil
	}
	return table.Flush()
}
