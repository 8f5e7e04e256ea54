package main

import (
	"context"
	"log/slog"
	"net"
	"os"

	"grapnel/internal/app"
	"grapnel/internal/config"
)

type serveCommand struct{ config.Config }

type apiCommand struct{ config.Config }

type workerCommand struct {
	config.Database
	config.Keys
	config.Delivery
	config.Process
}

// Validate reports all invalid settings of a worker together.
func (c *workerCommand) Validate() error {
	full := c.config()
	return full.ValidateWorker()
}

func (c *workerCommand) config() config.Config {
	return config.Config{Database: c.Database, Keys: c.Keys, Delivery: c.Delivery, Process: c.Process}
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context) error {
	return serve(ctx, c.Config, app.Roles{API: true, Worker: true})
}

// Run serves until ctx ends.
func (c *apiCommand) Run(ctx context.Context) error {
	return serve(ctx, c.Config, app.Roles{API: true})
}

// Run runs the worker until ctx ends.
func (c *workerCommand) Run(ctx context.Context) error {
	return serve(ctx, c.config(), app.Roles{Worker: true})
}

func serve(ctx context.Context, c config.Config, roles app.Roles) error {
	logger := newLogger(c.Process)
	// net/http logs some errors only through the log package, with bytes from receivers: they are debug messages.
	slog.SetLogLoggerLevel(slog.LevelDebug)
	slog.SetDefault(logger)
	app.TuneMemory()
	a, err := app.New(ctx, app.Options{Config: c, Roles: roles, Logger: logger, Version: version()})
	if err != nil {
		return err
	}
	defer a.Close()
	var listener net.Listener
	if roles.API {
		if listener, err = a.Listen(ctx); err != nil {
			return err
		}
	}
	return a.Run(ctx, listener)
}

func newLogger(p config.Process) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(p.LogLevel)) // the flag's enum allows only valid levels
	options := &slog.HandlerOptions{Level: level}
	if p.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(os.Stderr, options))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, options))
}
