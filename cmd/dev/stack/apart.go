package stack

import (
	"context"
	"os"
)

// StartApart starts the stack with API and worker in this process, as in grapnel serve, and the Temporal server in
// one of its own. That separates the product's cost from Temporal's. It starts no Web UI, which would run in this
// process.
func (s *Stack) StartApart(ctx context.Context) error {
	temporal, err := s.StartBelow(ctx)
	if err != nil {
		return err
	}
	if err := setTemporalEnvironment(s.TemporalAddr); err != nil {
		return err
	}
	p, err := startPart(ctx, s.Options, roleBoth, s.State.Path("grapnel.log"))
	if err != nil {
		return err
	}
	s.OnStop(p.stop)
	s.Grapnel = grapnelProcesses{apiPID: os.Getpid(), workerPID: os.Getpid(), temporalPID: temporal.PID(), Ended: p.ended}
	if err := awaitReady(ctx, p, "http://"+s.APIAddr); err != nil {
		return err
	}
	return s.announce()
}

// StartBelow starts what Grapnel needs: PostgreSQL and, in a process of its own, the Temporal server. It starts no
// Web UI.
func (s *Stack) StartBelow(ctx context.Context) (temporal *ChildProcess, err error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if err := s.openState(); err != nil {
		return nil, err
	}
	if err := s.startPostgres(ctx); err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		return nil, err
	}
	s.ui = &webUI{URL: "-"}
	if err := s.complete(s.State.Secrets, s.storeURL, ""); err != nil {
		return nil, err
	}
	temporal = &ChildProcess{Stack: s, Role: RoleTemporal}
	return temporal, s.StartChild(ctx, temporal)
}
