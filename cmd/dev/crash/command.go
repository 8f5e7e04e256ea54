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
	Damage   []string      `aliases:"only" placeholder:"NAME,…" help:"What is done to the stack, each on a fresh one; default: ${damages}. --only is the same."`
	Seed     uint64        `default:"1" help:"What is struck, when, for how long; what is published; what receivers answer: all of it follows from this number."`
	Minutes  float64       `default:"0.5" help:"How long is published under each damage; under those that are several together, three times as long. Those with stages (${staged}) take as long as they take."`
	Short    bool          `help:"Shorter stages and smaller backlogs."`
	Rate     float64       `default:"20" help:"Publishing requests per second."`
	FullRate float64       `default:"300" help:"The same for temporal-stopped."`
	Drain    time.Duration `default:"4m" help:"How long what was accepted may take to reach its final state after that; then it is stuck."`
	Window   time.Duration `default:"6s" help:"How far from a strike a request may lie that is made again: above the receivers' time-outs."`
	JSON     string        `name:"json" placeholder:"FILE" help:"Write the report as JSON, too."`
	Keep     string        `placeholder:"DIR" help:"Keep each stack's data and logs in a directory below this one."`
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
		kong.Description("Kills and breaks what Grapnel runs on while events are published, and accounts for every one of them. Fails when a promise was broken."),
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
	}
	if o.JSON != "" {
		text, err := json.MarshalIndent(&report, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.JSON, append(text, '\n'), 0o644); err != nil { //nolint:gosec // a report that others may read
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
	return row, nil
}
