package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"grapnel/cmd/dev/stack"
	"grapnel/internal/command"
	"grapnel/internal/hook"
)

// Name is the command's argument.
const Name = "bench"

// The roles of the benchmark's other processes. Each is this binary with the role after Name.
const (
	benchStackRole = "stack"
	benchFloorRole = "floor"
	benchLoadRole  = "load"
)

// benchOptions are the benchmark's flags.
type benchOptions struct {
	Case       []string      `placeholder:"NAME,…" help:"Cases to run. Default: ${cases}. These take long and run only if they are named: ${long}."`
	Seconds    int           `default:"20" help:"Length of the measured load of each case."`
	WarmUp     time.Duration `default:"3s" help:"Load that is not measured, before each case."`
	Drain      time.Duration `default:"3m" help:"Time for the remaining deliveries to arrive after the load. Later ones count as lost."`
	Publishers int           `default:"64" help:"Number of publishers in the cases without a fixed rate."`
	Payload    int           `default:"300" help:"Size of an event's data in bytes."`
	Rate       float64       `placeholder:"N" help:"Events per second in the case isolation. Default: a third of the rate that the case saturation sustains."`
	Stored     int           `default:"100000" help:"Number of deliveries in the store before the case stored begins, and of the tenant that the case deletion deletes."`
	Webhooks   int           `default:"10000" help:"Number of webhooks in the cases wide (one event to all of them) and many (one event to each)."`
	Tenants    int           `placeholder:"N" help:"Publish for so many tenants in turn, each with a webhook of its own at the same receiver, with one platform key; in the cases saturation, stored and batch. Default: all events are of one tenant, which no request names."`
	Soak       time.Duration `default:"20m" help:"Length of the measured load of the case soak."`
	SoakRate   float64       `placeholder:"N" help:"Events per second in the case soak. Default: half of the rate that the case saturation sustains."`
	Rates      []float64     `default:"20,50,100,200,400,800,1600" help:"Events per second in the case curve, which publishes at each rate for --seconds."`
	Flood      int           `default:"50000" help:"Number of events that one tenant publishes in the case tenants, while another publishes 5 a second."`
	Medians    int           `default:"1" help:"Number of runs of each case, each on a fresh stack. The report has the median."`
	JSON       string        `name:"json" placeholder:"FILE" help:"Also write the report as JSON to this file."`
	SVG        string        `name:"svg" placeholder:"DIR" help:"Write charts to this directory: two for each row of the report, two more for the case soak, three for the case curve and one for the case tenants."`
	Profile    string        `placeholder:"DIR" help:"Write a CPU profile and an allocation profile of the API process to this directory, for each case. The layout binary becomes product."`
	Statements string        `placeholder:"DIR" help:"Write a table of the costs of each SQL statement to this directory, for each case."`
	Processes  string        `default:"binary" enum:"binary,product,one,split,pairs" help:"Layout of the processes. binary: grapnel serve as users run it, Temporal in another process. product: API and worker in one process of this program, Temporal in another; --profile needs it. one: all in one process, like the development stack. split: one process each. pairs: like split, with two APIs, which receive the events in turn, and two workers."`
	Binary     string        `placeholder:"FILE" help:"grapnel binary of the layout binary. Default: go build of this source."`
	StackFlag  []string      `sep:"none" placeholder:"--FLAG=VALUE" help:"A flag for the stack. It may be repeated."`
}

// Validate reports all wrong flags at once.
func (o *benchOptions) Validate() error {
	errs := []error{CheckCases(o.Case)}
	for name, value := range map[string]int{"--seconds": o.Seconds, "--publishers": o.Publishers, "--medians": o.Medians, "--webhooks": o.Webhooks, "--flood": o.Flood} {
		if value < 1 {
			errs = append(errs, fmt.Errorf("%s %d: want at least 1", name, value))
		}
	}
	if len(o.Rates) == 0 || slices.Min(o.Rates) <= 0 {
		errs = append(errs, fmt.Errorf("--rates %v: want rates above 0", o.Rates))
	}
	if o.Payload < 32 || o.Payload > 100_000 {
		errs = append(errs, fmt.Errorf("--payload %d: want 32 to 100000", o.Payload))
	}
	if o.WarmUp < 0 || o.Drain < time.Second || o.Rate < 0 || o.Stored < 0 || o.Tenants < 0 || o.Soak < time.Second || o.SoakRate < 0 {
		errs = append(errs, errors.New("--warm-up, --rate, --soak-rate, --stored and --tenants can't be negative, --drain and --soak are at least 1s"))
	}
	return errors.Join(errs...)
}

// errBench makes the program fail when the report has an error.
var errBench = errors.New("deliveries were lost, sent twice or sent to the wrong endpoint: see the report")

// Command runs the command bench, or one of its processes.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case benchStackRole:
			return runBenchStack(stack.UntilStdinEnds(ctx), args[1:], stdout, stderr)
		case benchFloorRole:
			return runBenchFloor(stack.UntilStdinEnds(ctx), stdout)
		case benchLoadRole:
			return runBenchLoad(ctx, stdout)
		}
	}
	var o benchOptions
	return parseBench(&o, args, stdout, stderr, func() error { return measureAll(ctx, &o, args, stdout, stderr) })
}

// measureAll runs the cases of the options and writes the report.
func measureAll(ctx context.Context, o *benchOptions, args []string, stdout, stderr io.Writer) error {
	if len(o.Case) == 0 {
		o.Case = DefaultCases()
	}
	b := &bencher{benchOptions: o, stderr: stderr, begin: time.Now()}
	if err := b.prepareBinary(ctx); err != nil {
		return err
	}
	defer b.removeBinary()
	b.report.Machine = ThisMachine()
	b.report.Command = strings.Join(append([]string{"go -C cmd/dev run . bench"}, args...), " ")
	for _, name := range Cases() { // in the order of Cases, not of the flag
		if !slices.Contains(o.Case, name) {
			continue
		}
		if err := b.measure(ctx, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	b.report.Compare()
	if err := b.write(stdout); err != nil {
		return err
	}
	if b.report.Failed() {
		return errBench
	}
	return nil
}

// parseBench reads args into grammar and calls run, unless they ask for help.
func parseBench(grammar any, args []string, stdout, stderr io.Writer, run func() error) error {
	return command.Run(grammar, args, func(*kong.Context) error { return run() }, kong.Name("dev bench"), kong.Writers(stdout, stderr),
		kong.Description("Measures Grapnel on a fresh stack: rates, latencies, CPU time, lost and duplicate deliveries. Fails if a delivery was lost, sent twice or sent to the wrong endpoint."),
		kong.Vars{"cases": strings.Join(DefaultCases(), ", "), "long": strings.Join(LongCases(), ", ")})
}

// bencher runs cases and collects their results.
type bencher struct {
	*benchOptions
	stderr io.Writer
	begin  time.Time
	report Report
	// built is the directory of the binary that was built; empty if there is none.
	built string
	// saturation is events per second; 0 before it has been measured.
	saturation float64
}

func (b *bencher) progress(format string, args ...any) {
	fmt.Fprintf(b.stderr, "%6.1fs  %s\n", time.Since(b.begin).Seconds(), fmt.Sprintf(format, args...))
}

// measure runs a case as often as requested and keeps the median.
func (b *bencher) measure(ctx context.Context, name string) error {
	rate, err := b.rate(ctx, name)
	if err != nil {
		return err
	}
	var runs [][]Result
	for i := range b.Medians {
		rows, err := b.runCase(ctx, name, i, rate)
		if err != nil {
			return err
		}
		runs = append(runs, rows)
	}
	rows := Median(runs)
	if name == CaseSaturation {
		b.saturation = rows[0].SustainedPerSecond
	}
	b.report.Results = append(b.report.Results, rows...)
	return nil
}

// rate returns the events per second of a case whose rate can be given, and 0 for the others. The default is a share
// of the saturation, which is measured first if necessary.
func (b *bencher) rate(ctx context.Context, name string) (float64, error) {
	var given, share float64
	switch name {
	case CaseIsolation:
		given, share = b.Rate, 1./3
	case CaseSoak:
		given, share = b.SoakRate, 1./2
	default:
		return 0, nil
	}
	if given > 0 {
		return given, nil
	}
	if b.saturation == 0 {
		rows, err := b.runCase(ctx, CaseSaturation, 0, 0)
		if err != nil {
			return 0, err
		}
		b.saturation = rows[0].SustainedPerSecond
	}
	return max(1, share*b.saturation), nil
}

// runCase starts what a case needs, runs the case once, and stops everything.
func (b *bencher) runCase(ctx context.Context, name string, number int, rate float64) (rows []Result, err error) {
	dir, err := os.MkdirTemp("", "grapnel-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	spec := b.spec(name, rate)
	b.progress("%s: starting", name)
	target, err := b.startTarget(ctx, dir, &spec, number)
	if target != nil {
		defer func() { err = errors.Join(err, target.stop()) }()
	}
	if err != nil {
		return nil, err
	}
	note := ""
	if name == CaseStored {
		if note, err = fillStore(ctx, target.ready["postgres"], hook.DefaultTenant(), b.Stored); err != nil {
			return nil, err
		}
	}
	if rows, err = b.measureLoad(ctx, &spec, target.ready["postgres"], number); err != nil {
		return nil, err
	}
	for i := range rows {
		rows[i].Note += note
		b.progressOf(&rows[i])
	}
	return rows, nil
}

// spec returns the specification of a case.
func (b *bencher) spec(name string, rate float64) Spec {
	spec := Spec{
		Case: name, Rate: rate, WarmUp: b.WarmUp, Window: time.Duration(b.Seconds) * time.Second, Drain: b.Drain,
		Publishers: b.Publishers, Payload: b.Payload, Webhooks: b.Webhooks,
		Rates: slices.Compact(slices.Sorted(slices.Values(b.Rates))), Flood: b.Flood, Stored: b.Stored,
	}
	switch name {
	case CaseSaturation, CaseStored, CaseBatch:
		spec.Tenants = b.Tenants
	}
	if name == CaseSoak {
		spec.Window = b.Soak
	}
	return spec
}

// startTarget starts what a case measures: the stack, or only the receiver for the case floor.
func (b *bencher) startTarget(ctx context.Context, dir string, spec *Spec, number int) (*benchChild, error) {
	if spec.Case == CaseFloor {
		return b.startFloor(ctx, spec)
	}
	return b.startStack(ctx, dir, spec, number)
}

// measureLoad runs the load of a case, and counts the SQL statements meanwhile if --statements is set.
func (b *bencher) measureLoad(ctx context.Context, spec *Spec, databaseURL string, number int) (rows []Result, err error) {
	counted := b.Statements != "" && spec.Case != CaseFloor
	if counted {
		if err := countStatements(ctx, databaseURL); err != nil {
			return nil, err
		}
	}
	b.progress("%s: running", spec.Case)
	if spec.Case == CaseSoak {
		rows, err = sampledLoad(ctx, spec, databaseURL)
	} else {
		rows, err = load(ctx, spec)
	}
	if err != nil || !counted {
		return rows, err
	}
	return rows, writeStatements(ctx, databaseURL, filepath.Join(b.Statements, fmt.Sprintf("%s-%d.txt", spec.Case, number+1)))
}

// progressOf reports the result of a case.
func (b *bencher) progressOf(r *Result) {
	if r.Seconds == 0 {
		b.progress("%s: %s", r.Case, r.Note)
		return
	}
	b.progress("%s: %.0f accepted/s, %.0f delivered/s, p50 %.1f ms, p99 %.1f ms, %d lost, %d duplicates", r.Case,
		r.AcceptedPerSecond, r.DeliveredPerSecond, r.Receive.P50, r.Receive.P99, r.Lost, r.Duplicates)
}

// write prints the report and writes the files.
func (b *bencher) write(stdout io.Writer) error {
	if b.SVG != "" {
		if err := b.draw(); err != nil {
			return err
		}
	}
	if b.JSON != "" {
		text, err := json.MarshalIndent(&b.report, "", "  ")
		if err != nil {
			return err
		}
		if err := writeFile(b.JSON, string(text)+"\n"); err != nil {
			return err
		}
	}
	return b.report.Write(stdout)
}

// draw writes the charts.
func (b *bencher) draw() error {
	if err := os.MkdirAll(b.SVG, 0o750); err != nil {
		return err
	}
	for i := range b.report.Results {
		row := &b.report.Results[i]
		if row.Seconds == 0 {
			continue
		}
		name := filepath.Join(b.SVG, strings.ReplaceAll(row.Case, " ", "-"))
		err := errors.Join(writeFile(name+"-rate.svg", RateChart(row)), writeFile(name+"-latency.svg", LatencyChart(row)))
		if row.Soak != nil {
			err = errors.Join(err, writeFile(name+"-minutes.svg", SoakLatencyChart(row)), writeFile(name+"-memory.svg", SoakMemoryChart(row)))
		}
		if err != nil {
			return err
		}
	}
	return b.drawComparisons()
}

// drawComparisons writes the charts that compare rows.
func (b *bencher) drawComparisons() error {
	charts := map[string]string{}
	for name, svg := range CurveCharts(&b.report) {
		charts[CaseCurve+"-over-rate-"+name] = svg
	}
	if svg := TenantsChart(&b.report); svg != "" {
		charts[CaseTenants] = svg
	}
	for name, svg := range charts {
		if err := writeFile(filepath.Join(b.SVG, name+".svg"), svg); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(name, text string) error {
	return os.WriteFile(name, []byte(text), 0o644) //nolint:gosec // a report that others may read
}
