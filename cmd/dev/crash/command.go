package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"grapnel/internal/command"
)

// Name is the command's argument.
const Name = "crash"

// crashOptions are the crash suite's flags.
type crashOptions struct {
	Damage   []string      `aliases:"only" placeholder:"NAME,…" help:"Kinds of damage to the stack, each on a fresh stack. Default: ${damages}. --only is the same flag."`
	Seed     uint64        `default:"1" help:"Seed of all random choices: the target, time and length of each strike, the published events and the answers of the receivers."`
	Minutes  float64       `default:"0.5" help:"Minutes of publishing under each kind of damage. The kinds all and two-connections, which combine several, publish three times as long. The kinds with stages do not use it: ${staged}."`
	Short    bool          `help:"Use shorter stages and smaller backlogs."`
	Rate     float64       `default:"20" help:"Publish requests per second."`
	FullRate float64       `default:"300" help:"Publish requests per second under temporal-stopped."`
	Drain    time.Duration `default:"4m" help:"Time for all deliveries to become final after the publishing. Later ones count as stuck."`
	Window   time.Duration `default:"6s" help:"Largest time between a strike and a repeated request that the strike can explain. It must exceed the time-outs of the receivers."`
	JSON     string        `name:"json" placeholder:"FILE" help:"Also write the report as JSON to this file."`
	Keep     string        `placeholder:"DIR" help:"Keep the data and logs of each stack, in a subdirectory of this directory for each kind of damage."`
}

// Validate reports all wrong flags at once.
func (o *crashOptions) Validate() error {
	_, err := ParseDamages(o.Damage)
	errs := []error{err}
	if o.Minutes <= 0 || o.Rate <= 0 || o.Rate > 1000 || o.FullRate <= 0 || o.FullRate > 1000 || o.Drain <= 0 || o.Window < 0 {
		errs = append(errs, errors.New("--minutes, --rate and --full-rate (up to 1000) and --drain are above 0, --window can't be negative"))
	}
	return errors.Join(errs...)
}

// errCrash makes the program fail when a promise was broken.
var errCrash = errors.New("promises were broken: see the report")

// Command runs the command crash.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o crashOptions
	return command.Run(&o, args, func(*kong.Context) error { return strikeAll(ctx, &o, args, stdout, stderr) },
		kong.Name("dev crash"), kong.Writers(stdout, stderr),
		kong.Description("Publishes events while it kills or disturbs Grapnel, PostgreSQL, Temporal and the network, and then accounts for every event. Fails if Grapnel broke a promise."),
		kong.Vars{"damages": Names(Default()), "staged": Names(Staged())})
}

// strikeAll runs every damage of the options, each on a stack of its own, and writes the report.
func strikeAll(ctx context.Context, o *crashOptions, args []string, stdout, stderr io.Writer) error {
	damages, err := ParseDamages(o.Damage)
	if err != nil {
		return err
	}
	c := &crasher{crashOptions: o, stderr: stderr, begin: time.Now()}
	report := Report{
		Command: strings.Join(append([]string{"go -C cmd/dev run . crash"}, args...), " "), Seed: o.Seed, Rate: o.Rate, Window: o.Window, CPUs: runtime.NumCPU(),
	}
	for _, d := range damages {
		row, err := c.run(ctx, d)
		if err != nil {
			return fmt.Errorf("%s: %w", d, err)
		}
		report.Rows = append(report.Rows, row)
		if err := writeJSON(o.JSON, &report); err != nil { // after each row: a run may be interrupted
			return err
		}
	}
	if err := report.Write(stdout); err != nil {
		return err
	}
	if report.Failed() {
		return errCrash
	}
	return nil
}

// writeJSON writes the report to a file; it does nothing if path is empty.
func writeJSON(path string, report *Report) error {
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644) //nolint:gosec // a report that others may read
}

// crasher runs the damages one after another.
type crasher struct {
	*crashOptions
	stderr io.Writer
	begin  time.Time
}

func (c *crasher) progress(format string, args ...any) {
	fmt.Fprintf(c.stderr, "%6.1fs  %s\n", time.Since(c.begin).Seconds(), fmt.Sprintf(format, args...))
}

// run runs one damage on a stack of its own.
func (c *crasher) run(ctx context.Context, d Damage) (row Row, err error) {
	dir := c.Keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "grapnel-crash-"); err != nil {
			return row, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	} else {
		dir += "/" + string(d)
	}
	c.progress("%s: starting", d)
	s, err := startCrashStack(ctx, dir, crashSetup{begin: c.begin, stderr: c.stderr, damage: d})
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	length, rate := time.Duration(c.Minutes*float64(time.Minute)), c.Rate
	if d == All || d == FewConnections {
		length *= 3
	}
	if d == StopTemporal {
		rate = c.FullRate
	}
	if Of(d).Stages > 0 {
		c.progress("%s: publishing %g a second, in %d stages", d, rate, Of(d).Stages)
	} else {
		c.progress("%s: publishing for %v", d, length)
	}
	row, err = Run(ctx, Spec{
		Damage: d, Seed: c.Seed, Short: c.Short, Rate: rate, Length: length, Drain: c.Drain, Window: c.Window,
		APIs: s.urls(), Key: s.AdminKey.Reveal(), Database: s.PostgresURL, Stack: s, Progress: c.progress,
	})
	if err != nil {
		return row, err
	}
	for _, text := range row.Measured {
		c.progress("%s: %s", d, text)
	}
	c.progress("%s: %d strikes, %d events, %d deliveries, %d lost, %d duplicates, last final after %.1f s, %d violations", d, row.Strikes,
		row.Accepted, row.Deliveries, row.Lost, row.Duplicates, row.LastFinal, len(row.Violations))
	for _, v := range row.Violations {
		c.progress("%s: %s: %s", d, v.Rule, v.Detail)
	}
	return row, nil
}
