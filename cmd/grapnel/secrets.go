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
	Reencrypt reencryptCommand `cmd:"" help:"Encrypt every secret again with the first key of --encryption-key. Exit code 0 means that the other keys are no longer needed."`
}

type reencryptCommand struct {
	config.Database
	config.Keys
}

// Validate reports all invalid settings together.
func (c *reencryptCommand) Validate() error {
	return errors.Join(c.Database.Validate(), c.Keys.Validate())
}

// Run encrypts every secret again. It prints what it did even if it fails.
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
	done, failed := store.Reencrypt(asOperator(ctx))
	fmt.Fprintf(stdout, "%d webhooks and %d signing keys checked, %d encrypted with the first key, %d not readable\n",
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
		return fmt.Errorf("no key opens %d secrets: keep all keys; add the missing key, or delete these webhooks and rotate these signing keys", n)
	}
	_, err = fmt.Fprintln(stdout, "The first key opens everything. Remove the other keys when every process runs with this key first.")
	return err
}
