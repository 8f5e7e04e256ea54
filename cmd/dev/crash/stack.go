package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/alecthomas/kong"

	"grapnel/cmd/dev/stack"
	"grapnel/internal/config"
)

// crashStack is a stack to be damaged: two APIs, two workers and the Temporal server, each in a process of its own
// that is restarted when it ends, and PostgreSQL. With Traits.Together each API has a worker in its process, and there
// are no others. APIs and workers reach PostgreSQL through a proxy. The first API
// reaches Temporal through a proxy, too.
type crashStack struct {
	*stack.Stack
	setup    crashSetup
	cancel   context.CancelFunc
	database *Proxy
	// toTemporal is the proxy between the first API and Temporal.
	toTemporal *Proxy
	// bound bounds the workers' memory; nil means no bound.
	bound    *stack.MemoryBound
	temporal *stack.ChildProcess
	apis     []*stack.ChildProcess
	workers  []*stack.ChildProcess
	// postgresDown is held while PostgreSQL is stopped on purpose.
	postgresDown sync.Mutex
}

// crashSetup describes the stack to start.
type crashSetup struct {
	begin  time.Time
	stderr io.Writer
	damage Damage
}

// crashFlags are the stack's flags. Short retries and an early reconciler keep runs short. A stopping API takes
// requests long enough for a balancer to notice.
func crashFlags() []string {
	return []string{
		"--no-receiver", "--metrics-addr=", "--allow-http", "--retry-schedule=1s,2s,3s,4s", "--shutdown-timeout=20s", "--reconcile-after=5s",
	}
}

// crashDrain is how long an API still takes requests once it has begun to stop.
const crashDrain = "--drain-delay=700ms"

// startCrashStack starts a stack in a fresh directory.
func startCrashStack(ctx context.Context, dir string, setup crashSetup) (_ *crashStack, err error) {
	var o stack.Options
	parser, err := kong.New(&o, kong.DefaultEnvars(config.EnvPrefix+"_CRASH"))
	if err != nil {
		return nil, err
	}
	addrs, err := stack.FreeAddrs(ctx, stack.Loopback, 4)
	if err != nil {
		return nil, err
	}
	args := append(crashFlags(), "--data-dir="+dir, "--fresh", "--processes=split", "--restart",
		"--temporal-addr="+addrs[0].String(), "--api-addr="+addrs[1].String(), "--postgres-port="+strconv.Itoa(addrs[3].Port))
	if _, err := parser.Parse(args); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &crashStack{Stack: stack.New(&o, io.Discard, setup.stderr, setup.begin), setup: setup, cancel: cancel}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.temporal, err = s.StartBelow(ctx); err != nil {
		return nil, err
	}
	return s, s.startGrapnels(ctx, addrs[1].String(), addrs[2].String())
}

// startGrapnels starts the APIs and workers.
func (s *crashStack) startGrapnels(ctx context.Context, apiAddrs ...string) error {
	databaseURL, err := s.startProxies(ctx)
	if err != nil {
		return err
	}
	if s.setup.damage == FillMemory {
		s.bound = stack.NewMemoryBound(workerMemory)
		s.OnStop(s.bound.Close)
	}
	for i, addr := range apiAddrs {
		for _, c := range s.processes(strconv.Itoa(i+1), databaseURL, addr) {
			if err := s.StartChild(ctx, c); err != nil {
				return err
			}
		}
	}
	limited, cancel := context.WithTimeoutCause(ctx, stack.ReadyTime, stack.ErrNotReady)
	defer cancel()
	for _, url := range s.urls() {
		if err := stack.WaitHTTP(limited, url+"/readyz"); err != nil {
			return err
		}
	}
	return nil
}

// processes makes an API and a worker, in one process or in two. The first API gets Temporal's address of the proxy.
func (s *crashStack) processes(suffix, databaseURL, apiAddr string) []*stack.ChildProcess {
	api := &stack.ChildProcess{Stack: s.Stack, Role: stack.RoleAPI, Suffix: suffix, DatabaseURL: databaseURL, APIAddr: apiAddr, More: []string{crashDrain}}
	if len(s.apis) == 0 {
		api.More = append(api.More, "--temporal-addr="+s.toTemporal.Addr())
	}
	s.apis = append(s.apis, api)
	if Of(s.setup.damage).Together {
		api.Role = stack.RoleServe
		return []*stack.ChildProcess{api}
	}
	worker := &stack.ChildProcess{Stack: s.Stack, Role: stack.RoleWorker, Suffix: suffix, DatabaseURL: databaseURL, Bound: s.bound}
	s.workers = append(s.workers, worker)
	return []*stack.ChildProcess{worker, api}
}

// startProxies starts the proxies before PostgreSQL and Temporal, and returns the database's URL through its proxy.
func (s *crashStack) startProxies(ctx context.Context) (databaseURL string, err error) {
	u, err := url.Parse(s.PostgresURL)
	if err != nil {
		return "", err
	}
	if s.database, err = NewProxy(ctx, u.Host); err != nil {
		return "", err
	}
	s.OnStop(s.database.Close)
	u.Host = s.database.Addr()
	if s.setup.damage == FewConnections {
		query := u.Query()
		query.Set("pool_max_conns", "2")
		u.RawQuery = query.Encode()
	}
	if s.toTemporal, err = NewProxy(ctx, s.TemporalAddr); err != nil {
		return "", err
	}
	s.OnStop(s.toTemporal.Close)
	return u.String(), nil
}

// urls returns the base URLs of the APIs.
func (s *crashStack) urls() []string {
	var urls []string
	for _, c := range s.apis {
		urls = append(urls, "http://"+c.APIAddr)
	}
	return urls
}

// close stops everything and prevents restarts.
func (s *crashStack) close() error {
	s.cancel()
	if err := s.Stop(); err != nil {
		return fmt.Errorf("stop the stack: %w", err)
	}
	return nil
}
