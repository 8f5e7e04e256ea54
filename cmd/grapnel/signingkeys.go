package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"grapnel/internal/config"
	"grapnel/internal/hook"
	"grapnel/internal/secrets"
	"grapnel/internal/signing"
	"grapnel/storage"
)

type signingKeysCommand struct {
	List   listSigningKeysCommand  `cmd:"" help:"List the public keys that verify v1a signatures."`
	Rotate rotateSigningKeyCommand `cmd:"" help:"Create a new key. The previous key also signs during the overlap."`
}

type listSigningKeysCommand struct{ tenantFlags }

// Run lists the keys that currently sign.
func (c *listSigningKeysCommand) Run(ctx context.Context, stdout io.Writer) error {
	store, tenant, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	keys, err := store.SigningKeys(ctx, tenant)
	if err != nil {
		return err
	}
	return printSigningKeys(stdout, keys)
}

type rotateSigningKeyCommand struct {
	tenantFlags
	config.Keys
	Overlap time.Duration `default:"24h" env:"-" help:"How long the previous key still signs, at most 168h. 0 ends it and every other overlap at once."`
}

// Validate reports all invalid settings together.
func (c *rotateSigningKeyCommand) Validate() error {
	var overlap error
	if c.Overlap < 0 || c.Overlap > hook.MaxOverlap {
		overlap = fmt.Errorf("--overlap: must be 0 to %v", hook.MaxOverlap)
	}
	return errors.Join(c.Database.Validate(), c.Keys.Validate(), overlap)
}

// Run creates a new key.
func (c *rotateSigningKeyCommand) Run(ctx context.Context, stdout io.Writer) error {
	box, err := secrets.New(c.EncryptionKey.Reveal())
	if err != nil {
		return err
	}
	store, err := storage.Open(ctx, storage.Config{URL: c.DatabaseURL.Reveal(), Box: box})
	if err != nil {
		return err
	}
	defer store.Close()
	tenant, err := store.Tenant(ctx, c.Tenant)
	if err != nil {
		return err
	}
	keys, err := store.RotateSigningKey(asOperator(ctx), tenant, c.Overlap)
	if err != nil {
		return err
	}
	return printSigningKeys(stdout, keys)
}

func printSigningKeys(stdout io.Writer, keys []hook.SigningKey) error {
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tPUBLIC KEY\tCREATED\tSIGNS")
	for _, k := range keys {
		until := "on"
		if k.ExpiresAt != nil {
			until = "until " + k.ExpiresAt.Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", signing.KeyID(k.Public), signing.PublicText(k.Public), k.CreatedAt.Format(time.RFC3339), until)
	}
	return table.Flush()
}
