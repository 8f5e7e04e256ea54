package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// scan is govulncheck's form: one called, one imported, one only required.
const scan = `{"config":{"protocol_version":"v1.0.0","scan_level":"symbol"}}
{"osv":{"id":"GO-2026-1","summary":"Crash in a"}} {"osv":{"id":"GO-2026-2","summary":"Leak in b"}}
{"finding":{"osv":"GO-2026-1","fixed_version":"v1.2.4","trace":[{"module":"example.com/a","version":"v1.2.3"}]}}
{"finding":{"osv":"GO-2026-1","fixed_version":"v1.2.4","trace":[{"module":"example.com/a","version":"v1.2.3","package":"example.com/a","function":"Parse"},{"module":"grapnel","function":"main"}]}}
{"finding":{"osv":"GO-2026-2","trace":[{"module":"example.com/b","version":"v0.1.0","package":"example.com/b"}]}}
{"finding":{"osv":"GO-2026-3","trace":[{"module":"example.com/c","version":"v0.1.0"}]}}`

func TestVulncheck(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ accepted, scan, output, problem string }{
		"called":                   {"", scan, "GO-2026-1  Crash in a (example.com/a v1.2.3, mended in v1.2.4): NOT ACCEPTED\n", "called and not accepted: GO-2026-1; "},
		"called, another accepted": {"GO-2026-2 b is unused", scan, "NOT ACCEPTED", "GO-2026-1"},
		"called and accepted":      {"# why\n\nGO-2026-1  only for trusted input\n", scan, "only for trusted input\n1 vulnerabilities are called, all of them accepted\n", ""},
		"nothing called":           {"", scan[:strings.Index(scan, `{"finding"`)], "0 vulnerabilities", ""},
		"accepted without reason":  {"GO-2026-1", scan, "", "line 1: GO-2026-1 is accepted without a reason"},
		"accepted twice":           {"GO-2026-1 a\nGO-2026-1 b", scan, "", "line 2: GO-2026-1 is there twice"},
		"not an id":                {"CVE-2026-1 a", scan, "", "line 1: \"CVE-2026-1\" is not an id"},
		"no scan":                  {"", "", "", "no scan of symbols"},
		"a scan of modules only":   {"", `{"config":{"scan_level":"module"}}`, "", "no scan of symbols"},
		"half a scan":              {"", scan[:len(scan)-9], "", "unexpected EOF"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := filepath.Join(t.TempDir(), "accepted")
			require.NoError(t, os.WriteFile(list, []byte(tt.accepted), 0o600))
			var output strings.Builder
			err := run([]string{list}, strings.NewReader(tt.scan), &output)
			require.Contains(t, output.String(), tt.output)
			if tt.problem == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.problem)
			}
		})
	}
	require.Error(t, run(nil, strings.NewReader(scan), &strings.Builder{}))
	require.Error(t, run([]string{"nowhere"}, strings.NewReader(scan), &strings.Builder{}))
}
