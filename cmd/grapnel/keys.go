package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"grapnel/internal/config"
	"grapnel/internal/hook"
	"grapnel/internal/secrets"
	"grapnel/storage"
)

type keysCommand struct {
	Create createKeyCommand `cmd:"" help:"Create a key and print it. It is never shown again."`
	List   listKeysCommand  `cmd:"" help:"List keys."`
	Revoke revokeKeyCommand `cmd:"" help:"Revoke a key."`
}

type tenantFlags struct {
	config.Database
	Tenant string `default:"default" env:"-" help:"Tenant whose keys are meant: its id, its external id, or a name that no other tenant has. Platform keys are among those of default."`
}

// open opens the store and looks up the tenant.
func (f *tenantFlags) open(ctx context.Context) (*storage.Store, hook.TenantID, error) {
	store, err := openForKeys(ctx, &f.Database)
	if err != nil {
		return nil, hook.TenantID{}, err
	}
	tenant, err := store.Tenant(ctx, f.Tenant)
	if err != nil {
		store.Close()
		return nil, hook.TenantID{}, err
	}
	return store, tenant, nil
}

// openForKeys opens the store for commands on API keys. These are hashed, not encrypted, so the
// encryption key that it passes is a placeholder that is never used.
func openForKeys(ctx context.Context, d *config.Database) (*storage.Store, error) {
	box, err := secrets.New(base64.StdEncoding.EncodeToString(make([]byte, secrets.KeySize)))
	if err != nil {
		return nil, err
	}
	return storage.Open(ctx, storage.Config{URL: d.DatabaseURL.Reveal(), Box: box})
}

type createKeyCommand struct {
	tenantFlags
	Name      string        `required:"" env:"-" help:"What the key is for."`
	Scopes    []hook.Scope  `required:"" env:"-" help:"Scopes of the key, separated by commas: admin, webhooks, publish, read, subscribe; platform lets the key act for every tenant, within its other scopes."`
	TokenID   string        `env:"-" help:"Id of the publisher that receivers of topic webhooks see."`
	Topics    []string      `env:"-" help:"Event types and topics, as patterns: the key may publish, read and follow no others."`
	Caches    []string      `env:"-" help:"Caches: the key may publish to, read and follow topics of no others."`
	ExpiresIn time.Duration `env:"-" help:"How long the key is valid. Default: forever."`
}

// Run creates a key.
func (c *createKeyCommand) Run(ctx context.Context, stdout io.Writer) error {
	store, tenant, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	now := time.Now()
	k := hook.APIKey{TenantID: tenant, Name: c.Name, Scopes: c.Scopes, TokenID: c.TokenID, Topics: c.Topics, Caches: c.Caches}
	if c.ExpiresIn != 0 {
		at := now.Add(c.ExpiresIn)
		k.ExpiresAt = &at
	}
	if err := k.Validate(now); err != nil {
		return err
	}
	text := secrets.NewAPIKey()
	if k, err = store.CreateKey(asOperator(ctx), k, text); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s\n%s\n", k.ID, text.Reveal())
	return err
}

type listKeysCommand struct{ tenantFlags }

// Run lists keys.
func (c *listKeysCommand) Run(ctx context.Context, stdout io.Writer) error {
	store, tenant, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tSCOPES\tCREATED\tSTATE")
	page := hook.Page{Limit: 100}
	for more := true; more; {
		var keys []hook.APIKey
		if keys, more, err = store.Keys(ctx, tenant, hook.RankOperator, page); err != nil {
			return err
		}
		for i := range keys {
			k := &keys[i]
			fmt.Fprintf(table, "%s\t%s\t%v\t%s\t%s\n", k.ID, k.Name, k.Scopes, k.CreatedAt.Format(time.RFC3339), keyState(k))
			last := [16]byte(k.ID)
			page.Before = &last
		}
	}
	return table.Flush()
}

func keyState(k *hook.APIKey) string {
	switch {
	case k.RevokedAt != nil:
		return "revoked"
	case k.ExpiresAt != nil && k.ExpiresAt.Before(time.Now()):
		return "expired"
	case k.Operator:
		return "valid, the operator's"
	default:
		return "valid"
	}
}

type revokeKeyCommand struct {
	tenantFlags
	ID string `arg:"" help:"The key's id: key_…"`
}

// Run revokes a key.
func (c *revokeKeyCommand) Run(ctx context.Context, stdout io.Writer) error {
	id, err := hook.ParseKeyID(c.ID)
	if err != nil {
		return err
	}
	store, tenant, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := store.RevokeKey(asOperator(ctx), tenant, id, hook.RankOperator); err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, id, "revoked")
	return err
}
