package bench

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/cmd/dev/stack"
	"grapnel/internal/wait"
)

// curvePrefix begins the names of the curve's rows; the rate follows.
const curvePrefix = CaseCurve + " "

// curveGap is the time without load before each rate. Temporal closes the workflows of the rate before in it, so that
// their cost does not count towards the next rate.
const curveGap = 2 * time.Second

// Point is what a row of the case curve measures beside latencies and losses.
type Point struct {
	// Rate is the number of events per second that were due.
	Rate float64 `json:"rate"`
	// Workflows is the number of workflows that were started for the events of the window, and WorkflowsPerEvent
	// their share. Both are nil if they were not counted.
	Workflows         *int64   `json:"workflows,omitempty"`
	WorkflowsPerEvent *float64 `json:"workflows_per_event,omitempty"`
	// CPU is the processor time in milliseconds per event by part: product, temporal, postgres. Parts that share a
	// process have one entry together, named after the process.
	CPU map[string]float64 `json:"cpu_ms_per_event_by_part,omitempty"`
}

// Names of the parts of a stack.
const (
	partProduct  = "product"
	partTemporal = "temporal"
	partPostgres = "postgres"
)

// Parts adds up the processor time of processes by part: API and worker processes are the product, and what
// PostgreSQL does for each database is PostgreSQL's. Names of other processes are kept.
func Parts(byProcess map[string]float64) map[string]float64 {
	parts := map[string]float64{}
	for name, used := range byProcess {
		part, _, _ := strings.Cut(name, " ")
		switch part {
		case "grapnel", stack.RoleAPI, stack.RoleWorker:
			part = partProduct
		}
		parts[part] += used
	}
	return parts
}

// runCurve publishes at each rate in turn, on one stack, and ends after a rate that broke a promise: what is missing
// would be missing at the other rates, too.
func runCurve(ctx context.Context, spec Spec) ([]Result, error) {
	r, err := startSimple(ctx, spec, 1)
	if err != nil {
		return nil, err
	}
	defer r.close()
	var rows []Result
	for i, rate := range spec.Rates {
		note := ""
		if i == 0 {
			if note, err = r.firstPoint(ctx, rate); err != nil {
				return nil, err
			}
		}
		row, err := r.point(ctx, rate)
		if err != nil {
			return nil, err
		}
		row.Note = note
		rows = append(rows, row)
		if row.Failed() {
			break
		}
	}
	return rows, nil
}

// firstPoint warms the stack up, and then measures what it uses without load.
func (r *run) firstPoint(ctx context.Context, rate float64) (note string, err error) {
	if err := r.warmUp(ctx, func(d time.Duration) { r.open(ctx, rate, d) }); err != nil {
		return "", err
	}
	return r.unloaded(ctx)
}

// point measures one rate, after a gap and a warm-up at that rate.
func (r *run) point(ctx context.Context, rate float64) (Result, error) {
	load := func(d time.Duration) { r.open(ctx, rate, d) }
	// A run with a short warm-up is a trial.
	if err := wait.For(ctx, min(curveGap, r.spec.WarmUp)); err != nil {
		return Result{}, err
	}
	r.forgetErrors()
	if err := r.warmUp(ctx, load); err != nil {
		return Result{}, err
	}
	before, err := startedWorkflows(ctx, r.spec.TemporalDatabase)
	if err != nil {
		return Result{}, err
	}
	result, err := r.measure(ctx, curveRow(rate), func() { load(r.spec.Window) })
	if err != nil {
		return Result{}, err
	}
	after, err := startedWorkflows(ctx, r.spec.TemporalDatabase)
	if err != nil {
		return Result{}, err
	}
	result.Point = &Point{Rate: rate, CPU: Parts(result.CPU)}
	if r.spec.TemporalDatabase != "" {
		result.Point.count(after-before, result.Events)
	}
	return result, nil
}

func (p *Point) count(workflows int64, events int) {
	each := float64(workflows) / float64(max(events, 1))
	p.Workflows, p.WorkflowsPerEvent = &workflows, &each
}

// curveRow returns the name of a rate's row.
func curveRow(rate float64) string { return fmt.Sprintf("%s%g", curvePrefix, rate) }

// startedWorkflows returns the number of workflows, running and closed, that Temporal has. It deletes none within its
// retention, which is longer than a benchmark. The number is 0 without a database.
func startedWorkflows(ctx context.Context, databaseURL string) (n int64, err error) {
	if databaseURL == "" {
		return 0, nil
	}
	err = stack.OnDatabase(ctx, databaseURL, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `select count(*) from executions e join namespaces n on n.id = e.namespace_id where n.name = $1`,
			stack.TemporalNamespace).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count workflows: %w", err)
	}
	return n, nil
}

// onServer returns the URL of another database on the same server.
func onServer(databaseURL, database string) (string, error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return "", fmt.Errorf("parse the database's URL: %w", err)
	}
	u.Path = "/" + database
	return u.String(), nil
}
