package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"grapnel/api"
	"grapnel/internal/config"
	"grapnel/storage"
)

type migrateCommand struct {
	config.Database
}

// Run migrates the database.
func (c *migrateCommand) Run(ctx context.Context, stdout io.Writer) error {
	m := storage.Migrator{
		URL:    cmp.Or(c.DirectURL, c.DatabaseURL).Reveal(),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	ran, err := m.Up(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d migrations run; the database is up to date\n", ran)
	return err
}

type openAPICommand struct {
	OpenAPIVersion string `name:"version" enum:"3.1,3.0" default:"3.1" env:"-" help:"Version of OpenAPI: 3.1, or 3.0 for older tools."`
	Format         string `enum:"yaml,json" default:"yaml" env:"-" help:"Format of the document: yaml or json."`
}

// Run prints the OpenAPI document; it needs neither database nor Temporal.
func (c *openAPICommand) Run(stdout io.Writer) error {
	doc := api.Document(api.Version)
	print := map[string]func() ([]byte, error){
		"3.1yaml": doc.YAML, "3.0yaml": doc.DowngradeYAML, "3.1json": doc.MarshalJSON, "3.0json": doc.Downgrade,
	}
	text, err := print[c.OpenAPIVersion+c.Format]()
	if err != nil {
		return fmt.Errorf("print OpenAPI document: %w", err)
	}
	_, err = stdout.Write(text)
	return err
}

type healthcheckCommand struct {
	APIAddr     string `default:"127.0.0.1:8080" help:"Address the API listens on."`
	MetricsAddr string `default:"127.0.0.1:9464" help:"Address that serves a worker's health and metrics."`
	Worker      bool   `env:"-" help:"Check a worker at --metrics-addr instead of an API at --api-addr."`
}

// Run requests /healthz and fails unless the answer is 200.
func (c *healthcheckCommand) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	flag, addr := "--api-addr", c.APIAddr
	if c.Worker {
		flag, addr = "--metrics-addr", c.MetricsAddr
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/healthz", nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{Proxy: nil}}
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("healthz: %s", response.Status)
	}
	return nil
}
