package e2e

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"grapnel/cmd/dev/stack"
)

// exposed holds the metrics of a running product by name, each with its set of label names.
type exposed map[string]map[string]bool

var (
	sampleRE = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? \S+$`)
	labelRE  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="(?:[^"\\]|\\.)*"`)
)

func readMetrics(t *testing.T, text string) exposed {
	t.Helper()
	found := exposed{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		sample := sampleRE.FindStringSubmatch(lines.Text())
		require.NotNil(t, sample, lines.Text())
		if found[sample[1]] == nil {
			found[sample[1]] = map[string]bool{}
		}
		for _, label := range labelRE.FindAllStringSubmatch(sample[2], -1) {
			found[sample[1]][label[1]] = true
		}
	}
	return found
}

var (
	stringRE   = regexp.MustCompile(`"[^"]*"`)
	rangeRE    = regexp.MustCompile(`\[[^\]]*\]|\b\d+[smhd]\b|\b\d+(\.\d+)?\b`)
	selectorRE = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}`)
	byRE       = regexp.MustCompile(`\bby \(([^)]*)\)`)
	matcherRE  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)`)
	wordRE     = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
)

// problems returns the errors in a PromQL expression: unknown metrics, unknown labels of known metrics, and unknown
// words.
func (e exposed) problems(expression string) (problems []string) {
	text := rangeRE.ReplaceAllString(stringRE.ReplaceAllString(expression, ""), "")
	labels := map[string]bool{}
	for _, list := range byRE.FindAllStringSubmatch(text, -1) {
		for label := range strings.SplitSeq(list[1], ",") {
			labels[strings.TrimSpace(label)] = true
		}
	}
	text = byRE.ReplaceAllString(text, " ")
	check := func(metric, label string) {
		if !e[metric][label] && label != "job" && label != "instance" { // job and instance are added by the scraper
			problems = append(problems, metric+" has no label "+label)
		}
	}
	text = selectorRE.ReplaceAllStringFunc(text, func(selector string) string {
		parts := selectorRE.FindStringSubmatch(selector)
		for _, matcher := range matcherRE.FindAllStringSubmatch(parts[2], -1) {
			check(parts[1], matcher[1])
		}
		return parts[1]
	})
	metrics := 0
	for _, word := range wordRE.FindAllString(text, -1) {
		switch {
		case e[word] != nil:
			metrics++
			for label := range labels {
				check(word, label)
			}
		case !slices.Contains([]string{"sum", "max", "min", "rate", "increase", "histogram_quantile", "absent", "and", "offset"}, word):
			problems = append(problems, "there is no metric "+word)
		}
	}
	if metrics == 0 {
		problems = append(problems, "it names no metric")
	}
	return problems
}

// The dashboard and the alerts refer only to metrics and labels that a running product exposes.
func TestDashboardsAndAlertsNameWhatThereIs(t *testing.T) {
	t.Parallel()
	flags, err := freeFlags(t.Context())
	require.NoError(t, err)
	free, err := stack.FreeAddrs(t.Context(), stack.Loopback, 1)
	require.NoError(t, err)
	s := start(t, t.TempDir(), append(flags, "--no-receiver", "--metrics-addr="+free[0].String(), quick)...)
	c := clientOf(t, s)
	r := newRecorder(t, status(500), status(200))
	hook, eventType := c.webhook(r.URL, nil)
	c.publish(eventType, object{})
	require.Equal(t, "success", c.settled(hook)["status"])
	c.url = "http://" + free[0].String()
	var text []byte
	waitFor(t, "the SDK to report the activity, which it does every second", func() bool {
		_, text, err = c.send(t.Context(), http.MethodGet, "/metrics", "", nil)
		return err == nil && strings.Contains(string(text), "temporal_activity_schedule_to_start_latency_seconds_bucket")
	})
	there := readMetrics(t, string(text))

	// The metrics show the event and the attempt made above.
	for _, line := range []string{
		`grapnel_events_published_total{outcome="accepted"} 1`, `grapnel_attempts_total{outcome="http_5xx",profile="standard"} 1`,
		`grapnel_attempts_total{outcome="success",profile="standard"} 1`, `grapnel_deliveries_ended_total{state="success"} 1`,
		`grapnel_deliveries_first_attempt_delay_seconds_count{profile="standard"} 1`, `grapnel_workflows_started_total{by="starter"} 1`,
		`grapnel_backlog_deliveries{due="longer",queue="workflow"} 0`,
	} {
		require.Contains(t, string(text), "\n"+line+"\n")
	}
	for _, clients := range []string{hook, eventType, r.URL} {
		require.NotContains(t, string(text), clients, "no label's value comes from a client")
	}

	for where, list := range map[string][]string{"grapnel.json": dashboard(t), "alerts.yml": alerts(t)} {
		for _, expression := range list {
			require.Empty(t, there.problems(expression), "%s: %s", where, expression)
		}
	}
	// The check finds each kind of error.
	for expression, want := range map[string]string{
		`sum(rate(grapnel_attempt_total[5m]))`:                             "there is no metric grapnel_attempt_total",
		`sum by (result) (rate(grapnel_attempts_total[5m]))`:               "grapnel_attempts_total has no label result",
		`grapnel_attempts_total{profil="standard"}`:                        "grapnel_attempts_total has no label profil",
		`histogram_quantile(0.9, rate(grapnel_attempts_total_bucket[5m]))`: "there is no metric grapnel_attempts_total_bucket",
	} {
		require.Contains(t, there.problems(expression), want)
	}
}

// dashboard returns all PromQL expressions of the Grafana dashboard.
func dashboard(t *testing.T) (expressions []string) {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/grafana/grapnel.json")
	require.NoError(t, err)
	var d struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &d))
	seen := map[int]bool{}
	for _, p := range d.Panels {
		require.False(t, seen[p.ID], "two panels have the id %d", p.ID)
		seen[p.ID] = true
		require.NotEmpty(t, p.Title)
		for _, target := range p.Targets {
			expressions = append(expressions, target.Expr)
		}
	}
	require.Greater(t, len(expressions), 30)
	return expressions
}

// alerts returns the PromQL expressions of all alert rules and checks that each rule has a description.
func alerts(t *testing.T) (expressions []string) {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/prometheus/alerts.yml")
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			require.NotEmpty(t, rule.Alert)
			require.Contains(t, []string{"page", "ticket"}, rule.Labels["severity"], rule.Alert)
			require.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
			require.NotEmpty(t, rule.Annotations["description"], rule.Alert)
			expressions = append(expressions, rule.Expr)
		}
	}
	require.Greater(t, len(expressions), 10)
	return expressions
}
