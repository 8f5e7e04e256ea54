package stack

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// StartPairs starts two APIs and two workers, each in a process of its own, so that state kept in only one process
// shows as an error. In the line "ready …" the values of both are separated by commas.
func (s *Stack) StartPairs(ctx context.Context, secondAPI string) error {
	temporal, err := s.StartBelow(ctx)
	if err != nil {
		return err
	}
	var apis, apiPIDs, workerPIDs []string
	for i := range 2 {
		worker := &ChildProcess{Stack: s, Role: RoleWorker, Suffix: strconv.Itoa(i + 1)}
		if err := s.StartChild(ctx, worker); err != nil {
			return err
		}
		workerPIDs = append(workerPIDs, strconv.Itoa(worker.PID()))
	}
	limited, cancel := context.WithTimeoutCause(ctx, ReadyTime, ErrNotReady)
	defer cancel()
	for i, addr := range []string{s.APIAddr, secondAPI} {
		api := &ChildProcess{Stack: s, Role: RoleAPI, Suffix: strconv.Itoa(i + 1), APIAddr: addr}
		if err := s.StartChild(ctx, api); err != nil {
			return err
		}
		apis, apiPIDs = append(apis, "http://"+addr), append(apiPIDs, strconv.Itoa(api.PID()))
		if err := WaitHTTP(limited, "http://"+addr+"/readyz"); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(s.stdout, "ready api=%s key=%s postgres=%s pid_api=%s pid_worker=%s pid_temporal=%d pid_postgres=%d\n",
		strings.Join(apis, ","), s.AdminKey.Reveal(), withoutPassword(s.PostgresURL),
		strings.Join(apiPIDs, ","), strings.Join(workerPIDs, ","), temporal.PID(), s.postgresPID)
	return err
}
