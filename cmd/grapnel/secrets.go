package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"grapnel/internal/config"
	"grapnel/internal/hook"
	"grapnel/internal/secrets"
	"grapnel/internal/signing"
	"grapnel/storage"
)

type secretsCommand struct {
	Reencrypt reencryptCommand `cmd:"" help:"Encrypt anew, with the first of --encryption-key, what was encrypted with another; exits 0 when the others are needed no more."`
}

type reencryptCommand struct {
	config.Database
	config.Keys
}

// Validate reports everything that is wrong, at once.
func (c *reencryptCommand) Validate() error {
	return errors.Join(c.Database.Validate(), c.Keys.Validate())
}

// Run re-encrypts. What it did is said also when it fails.
func (c *reencryptCommand) Run(ctx context.Context, stdout io.Writer) error {
	box, err := secrets.New(c.EncryptionKey.Reveal())
	if err != nil {
		return err
	}
	store, err := storage.Open(ctx, storage.Config{URL: c.DatabaseURL.Reveal(), Box: box})
	if err != nil {
		return err
	}
	defer store.Close()
	done, failed := store.Reencrypt(ctx)
	fmt.Fprintf(stdout, "%d webhooks and %d signing keys looked at, %d encrypted anew with the first key, %d not readable\n",
		done.Webhooks, done.SigningKeys, done.Changed+done.ChangedKeys+done.ChangedAnswers, len(done.Unreadable))
	for _, u := range done.Unreadable {
		what := u.Webhook.String()
		switch {
		case u.SigningKey != nil:
			what = signing.KeyID(u.SigningKey)
		case u.Webhook == hook.WebhookID{}:
			what = "an answer"
		}
		fmt.Fprintf(stdout, "%s of %s: %v\n", what, u.TenantID, u.Err)
	}
	if failed != nil {
		return fmt.Errorf("not finished, run it again: %w", failed)
	}
	if n := len(done.Unreadable); n > 0 {
		return fmt.Errorf("%d secrets can't be read with any of the keys: remove none, add the one that is missing, or delete these webhooks and rotate these signing keys", n)
	}
	_, err = fmt.Fprintln(stdout, "The first key opens everything. Remove the others as soon as every process runs with this one first.")
	return err
}
