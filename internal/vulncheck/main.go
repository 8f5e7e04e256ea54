// Command vulncheck judges what govulncheck has found: vulnerabilities whose
// symbols are called fail, but those that are accepted by a list that gives a
// reason for each. It reads govulncheck's JSON from its standard input. It is CI's
// and must import nothing but the standard library. Its invariant: no id is passed
// over without a reason, nor an input that does not hold a whole scan.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "vulncheck:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) != 1 {
		return errors.New("the one argument is the list of accepted vulnerabilities")
	}
	text, err := os.ReadFile(args[0]) //nolint:gosec // whoever runs it says which file
	if err != nil {
		return err
	}
	accepted, err := parseAccepted(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	called, err := readScan(stdin)
	if err != nil {
		return fmt.Errorf("read govulncheck's answer: %w", err)
	}
	return judge(stdout, called, accepted)
}

// parseAccepted reads lines of an id and a reason; # begins a comment.
func parseAccepted(text string) (map[string]string, error) {
	accepted := map[string]string{}
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, reason, _ := strings.Cut(line, " ")
		reason = strings.TrimSpace(reason)
		switch {
		case !strings.HasPrefix(id, "GO-"):
			return nil, fmt.Errorf("line %d: %q is not an id like GO-2026-1234", n+1, id)
		case reason == "":
			return nil, fmt.Errorf("line %d: %s is accepted without a reason", n+1, id)
		case accepted[id] != "":
			return nil, fmt.Errorf("line %d: %s is there twice", n+1, id)
		}
		accepted[id] = reason
	}
	return accepted, nil
}

// message is what we need of a message of govulncheck's.
type message struct {
	Config *struct {
		ScanLevel string `json:"scan_level"`
	} `json:"config"`
	OSV *struct {
		ID      string `json:"id"`
		Summary string `json:"summary"`
	} `json:"osv"`
	Finding *struct {
		OSV   string  `json:"osv"`
		Fixed string  `json:"fixed_version"`
		Trace []frame `json:"trace"`
	} `json:"finding"`
}

type frame struct {
	Module   string `json:"module"`
	Version  string `json:"version"`
	Function string `json:"function"`
}

// vulnerability is one that the code calls.
type vulnerability struct {
	id, summary string
	where       []string // modules, with the version that mends it
}

// readScan reads a scan; a finding without a function is of what is required or
// imported and not called.
func readScan(r io.Reader) ([]vulnerability, error) {
	summaries, where := map[string]string{}, map[string][]string{}
	scanned := false
	for dec := json.NewDecoder(r); ; {
		var m message
		err := dec.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if m.Config != nil && m.Config.ScanLevel == "symbol" {
			scanned = true
		}
		if m.OSV != nil {
			summaries[m.OSV.ID] = m.OSV.Summary
		}
		if f := m.Finding; f != nil && len(f.Trace) > 0 && f.Trace[0].Function != "" {
			at := f.Trace[0].Module + " " + f.Trace[0].Version
			if f.Fixed != "" {
				at += ", mended in " + f.Fixed
			}
			if !slices.Contains(where[f.OSV], at) {
				where[f.OSV] = append(where[f.OSV], at)
			}
		}
	}
	if !scanned {
		return nil, errors.New("it holds no scan of symbols")
	}
	var called []vulnerability
	for id, modules := range where {
		slices.Sort(modules)
		called = append(called, vulnerability{id, summaries[id], modules})
	}
	slices.SortFunc(called, func(a, b vulnerability) int { return strings.Compare(a.id, b.id) })
	return called, nil
}

// judge prints what is called, and fails if some of it is not accepted.
func judge(w io.Writer, called []vulnerability, accepted map[string]string) error {
	var refused []string
	for _, v := range called {
		reason, ok := accepted[v.id]
		if !ok {
			refused, reason = append(refused, v.id), "NOT ACCEPTED"
		}
		fmt.Fprintf(w, "%s  %s (%s): %s\n", v.id, v.summary, strings.Join(v.where, "; "), reason)
	}
	if len(refused) > 0 {
		return fmt.Errorf("called and not accepted: %s; upgrade, or accept with a reason", strings.Join(refused, ", "))
	}
	fmt.Fprintf(w, "%d vulnerabilities are called, all of them accepted\n", len(called))
	return nil
}
