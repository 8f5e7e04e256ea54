package bench

import (
	"fmt"
	"strconv"
	"strings"

	"grapnel/cmd/dev/stack"
)

// pairProcesses is processesOf for the layout pairs.
func pairProcesses(ready map[string]string) (processes []Process, layout string, err error) {
	for _, part := range []string{stack.RoleAPI, stack.RoleWorker, stack.RoleTemporal, "postgres"} {
		pids := strings.Split(ready["pid_"+part], ",")
		for i, text := range pids {
			p := Process{Name: part, Children: part == "postgres"}
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
