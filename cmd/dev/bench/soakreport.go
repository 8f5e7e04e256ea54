package bench

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// steady is the change over a run, as a share of the mean, below which a line is called level: two runs never agree
// better than that.
const steady = 0.05

const mebibyte = 1 << 20

// write prints the soak's results.
func (s *Soak) write(w io.Writer) error {
	if len(s.Minutes) == 0 || len(s.Samples) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\nsoak at %.0f events/s, %d minutes and %d samples:\n", s.Rate, len(s.Minutes), len(s.Samples))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tfirst\tmiddle\tlast\t")
	s.writeMinutes(t)
	s.writeSamples(t)
	if err := t.Flush(); err != nil {
		return err
	}
	for _, sentence := range s.sentences() {
		fmt.Fprintln(w, sentence)
	}
	return nil
}

func (s *Soak) writeMinutes(t io.Writer) {
	row := func(name string, value func(*Minute) float64) {
		fmt.Fprintf(t, "%s\t", name)
		for _, m := range firstMiddleLast(s.Minutes) {
			fmt.Fprintf(t, "%s\t", short(value(m)))
		}
		fmt.Fprintln(t)
	}
	row("p50 ms of the minute", func(m *Minute) float64 { return m.P50 })
	row("p99 ms of the minute", func(m *Minute) float64 { return m.P99 })
}

func (s *Soak) writeSamples(t io.Writer) {
	row := func(name string, value func(*Sample) string) {
		fmt.Fprintf(t, "%s\t", name)
		for _, sample := range firstMiddleLast(s.Samples) {
			fmt.Fprintf(t, "%s\t", value(sample))
		}
		fmt.Fprintln(t)
	}
	first := &s.Samples[0]
	for _, process := range sortedKeys(first.Memory) {
		row("MiB of "+process, func(s *Sample) string { return fmt.Sprintf("%.0f", s.Memory[process]) })
	}
	row("rows in outbox", func(s *Sample) string { return fmt.Sprint(s.Outbox) })
	row("deliveries to be attempted", func(s *Sample) string { return fmt.Sprint(s.Outstanding) })
	for _, name := range sortedKeys(first.Tables) {
		row(name+": live + dead, MiB", func(s *Sample) string {
			table := s.Tables[name]
			return fmt.Sprintf("%d + %d, %.1f", table.Live, table.Dead, float64(table.Bytes)/mebibyte)
		})
	}
	for _, name := range sortedKeys(first.Databases) {
		row("database "+name+", MiB", func(s *Sample) string { return fmt.Sprintf("%.1f", float64(s.Databases[name])/mebibyte) })
	}
}

// sentences returns the summary in words.
func (s *Soak) sentences() (out []string) {
	if s.Summary.P99PerMinute != nil {
		out = append(out, "The p99 of a minute "+trend(*s.Summary.P99PerMinute, s.p99(), "ms")+".")
	} else {
		out = append(out, "The p99 has no trend: there are fewer than two minutes.")
	}
	lines := s.memory()
	for _, process := range sortedKeys(s.Summary.MemoryPerMinute) {
		out = append(out, fmt.Sprintf("The memory of %s %s.", process, trend(s.Summary.MemoryPerMinute[process], lines[process], "MiB")))
	}
	list := func(from map[string]float64, format string) string {
		var parts []string
		for _, name := range sortedKeys(from) {
			parts = append(parts, fmt.Sprintf(format, name, from[name]))
		}
		return strings.Join(parts, ", ")
	}
	if len(s.Summary.DeadShare) > 0 {
		percent := make(map[string]float64, len(s.Summary.DeadShare))
		for name, share := range s.Summary.DeadShare {
			percent[name] = 100 * share
		}
		out = append(out, "Dead tuples at the end, for 100 live ones: "+list(percent, "%s %.1f")+".")
	}
	if len(s.Summary.BytesPerEvent) > 0 {
		out = append(out, "Bytes that an event added to each database, with indexes: "+list(s.Summary.BytesPerEvent, "%s %.0f")+".")
	}
	return out
}

// trend describes a line through the points that rises by perMinute.
func trend(perMinute float64, points [][2]float64, unit string) string {
	var mean float64
	for _, p := range points {
		mean += p[1] / float64(len(points))
	}
	length := points[len(points)-1][0] - points[0][0]
	change := perMinute * length
	direction, sign := "rises", "+"
	if change < 0 {
		direction, sign = "falls", "-"
	}
	if math.Abs(change) < steady*mean {
		return fmt.Sprintf("stays level around %s %s (%s%s %s a minute)", short(mean), unit, sign, short(math.Abs(perMinute)), unit)
	}
	return fmt.Sprintf("%s by %s %s a minute, %s %s over %.1f minutes, around %s %s",
		direction, short(math.Abs(perMinute)), unit, short(math.Abs(change)), unit, length, short(mean), unit)
}
