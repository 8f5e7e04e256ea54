package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"grapnel/cmd/dev/bench"
)

// startPairs is start with two APIs and two workers, each in a process of its own:
// what one process would keep to itself goes wrong here. The line that says that
// they are ready has both of what there are two of, separated by commas.
func (s *stack) startPairs(ctx context.Context, secondAPI string) error {
	temporal, err := s.startBelow(ctx)
	if err != nil {
		return err
	}
	var apis, apiPIDs, workerPIDs []string
	for i := range 2 {
		worker := &childProcess{stack: s, role: roleWorker, suffix: strconv.Itoa(i + 1)}
		if err := s.startChild(ctx, worker); err != nil {
			return err
		}
		workerPIDs = append(workerPIDs, strconv.Itoa(worker.pid()))
	}
	wait, cancel := context.WithTimeoutCause(ctx, readyTime, errNotReady)
	defer cancel()
	for i, addr := range []string{s.APIAddr, secondAPI} {
		api := &childProcess{stack: s, role: roleAPI, suffix: strconv.Itoa(i + 1), apiAddr: addr}
		if err := s.startChild(ctx, api); err != nil {
			return err
		}
		apis, apiPIDs = append(apis, "http://"+addr), append(apiPIDs, strconv.Itoa(api.pid()))
		if err := waitHTTP(wait, "http://"+addr+"/readyz"); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(s.stdout, "ready api=%s key=%s postgres=%s pid_api=%s pid_worker=%s pid_temporal=%d pid_postgres=%d\n",
		strings.Join(apis, ","), s.AdminKey.Reveal(), withoutPassword(s.databaseURL),
		strings.Join(apiPIDs, ","), strings.Join(workerPIDs, ","), temporal.pid(), s.postgresPID)
	return err
}

// pairProcesses is processesOf for the layout pairs.
func pairProcesses(ready map[string]string) (processes []bench.Process, layout string, err error) {
	for _, part := range []string{roleAPI, roleWorker, roleTemporal, "postgres"} {
		pids := strings.Split(ready["pid_"+part], ",")
		for i, text := range pids {
			p := bench.Process{Name: part, Children: part == "postgres"}
			if len(pids) > 1 {
				p.Name = fmt.Sprintf("%s %d", part, i+1)
			}
			if p.PID, err = strconv.Atoi(text); err != nil {
				return nil, "", fmt.Errorf("pid of %s: %w", p.Name, err)
			}
			processes = append(processes, p)
		}
	}
	return processes, "two APIs, two workers, Temporal server and PostgreSQL in processes of their own; load, which takes the APIs in turn, and receiver in another", nil
}
