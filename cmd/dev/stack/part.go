package stack

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"grapnel/internal/app"
)

func roleBoth() app.Roles { return app.Roles{API: true, Worker: true} }

// part is an app running in this process.
type part struct {
	app   *app.App
	ended <-chan error
	stop  func() error
}

// startPart runs Grapnel in the given roles until stop is called.
func startPart(ctx context.Context, o *Options, roles func() app.Roles, logPath string) (*part, error) {
	logger, f, err := openLog(logPath, o)
	if err != nil {
		return nil, err
	}
	slog.SetLogLoggerLevel(slog.LevelDebug) // as the product does
	slog.SetDefault(logger)
	app.TuneMemory()
	a, err := app.New(ctx, app.Options{Config: o.Config, Roles: roles(), Logger: logger, Version: "dev", Resolver: o.resolver()})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	var l net.Listener
	if roles().API {
		if l, err = Listen(ctx, "--api-addr", o.APIAddr); err != nil {
			a.Close()
			return nil, errors.Join(err, f.Close())
		}
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended, done := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(done)
		ended <- a.Run(life, l)
	}()
	return &part{app: a, ended: ended, stop: func() error {
		cancel()
		<-done
		a.Close()
		return f.Close()
	}}, nil
}
