package stack

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/temporal"
)

const (
	temporalFlag = "--temporal-addr"
	// TemporalNamespace is the namespace in which the product's workflows run.
	TemporalNamespace = "default"
	temporalRetention = 72 * time.Hour
)

// temporalOptions are the address, the database and the log of the embedded Temporal server.
type temporalOptions struct {
	// Addr is the frontend's host:port. Port 0 chooses a free port.
	Addr string
	// DatabaseURL is the postgres:// URL of any database on the server that is to hold the databases temporal and
	// temporal_visibility. Its user must be allowed to create databases, unless these two exist.
	DatabaseURL string
	// Logger receives the server's log; its handler decides the level.
	Logger *slog.Logger
}

// temporalServer is a Temporal server in this process, with the services frontend, history, matching and worker. A
// fatal error of the server ends the process.
type temporalServer struct {
	// Addr is the frontend's host:port.
	Addr string
	// Ready is the time from the start until the namespace answered.
	Ready time.Duration

	server temporal.Server
}

// startTemporal updates the schema, starts the services and returns when the namespace default answers. It returns a
// *portError if the port is in use.
func startTemporal(ctx context.Context, opts temporalOptions) (*temporalServer, error) {
	begin := time.Now()
	store, err := parseTemporalStore(opts.DatabaseURL)
	if err != nil {
		return nil, err
	}
	logger := &temporalLogger{slog: opts.Logger}
	if err := setUpSchemas(ctx, opts.DatabaseURL, store, logger); err != nil {
		return nil, err
	}
	ports, err := temporalPorts(ctx, opts.Addr)
	if err != nil {
		return nil, err
	}
	dynamic := temporalDynamicConfig()
	server, err := newTemporalServer(temporalConfig(store, ports), ports, logger, dynamic)
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("start Temporal server: %w", err)
	}
	s := &temporalServer{Addr: ports.frontend.String(), server: server}
	if err := RegisterNamespace(ctx, s.Addr); err != nil {
		_ = s.Stop() // err is more informative
		return nil, err
	}
	dynamic.ready()
	s.Ready = time.Since(begin)
	return s, nil
}

// newTemporalServer makes a server with all services in this process.
func newTemporalServer(conf *config.Config, addrs temporalAddrs, logger *temporalLogger, dynamic *startingConfig) (temporal.Server, error) {
	authorizer, err := authorization.GetAuthorizerFromConfig(&conf.Global.Authorization)
	if err != nil {
		return nil, fmt.Errorf("make Temporal authorizer: %w", err)
	}
	claims, err := authorization.GetClaimMapperFromConfig(&conf.Global.Authorization, logger)
	if err != nil {
		return nil, fmt.Errorf("make Temporal claim mapper: %w", err)
	}
	server, err := temporal.NewServer(
		temporal.WithConfig(conf),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(addrs.hosts()),
		temporal.WithLogger(logger),
		temporal.WithNamespaceLogger(logger),
		temporal.WithAuthorizer(authorizer),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return claims }),
		temporal.WithDynamicConfigClient(dynamic),
	)
	if err != nil {
		return nil, fmt.Errorf("make Temporal server: %w", err)
	}
	return server, nil
}

// Stop stops the services, and closes the frontend's port last.
func (s *temporalServer) Stop() error {
	if err := s.server.Stop(); err != nil {
		return fmt.Errorf("stop Temporal server: %w", err)
	}
	return nil
}

// temporalAddrs are the addresses of the four services. Clients use only the frontend's.
type temporalAddrs struct {
	frontend, history, matching, worker *net.TCPAddr
}

// temporalPorts chooses an address for each service.
func temporalPorts(ctx context.Context, frontend string) (temporalAddrs, error) {
	addr, err := checkAddr(ctx, temporalFlag, frontend)
	if err != nil {
		return temporalAddrs{}, err
	}
	free, err := FreeAddrs(ctx, Loopback, 3)
	if err != nil {
		return temporalAddrs{}, err
	}
	return temporalAddrs{frontend: addr, history: free[0], matching: free[1], worker: free[2]}, nil
}
