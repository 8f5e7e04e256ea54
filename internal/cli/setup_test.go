package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

// ran is the result of a command.
type ran struct {
	out, err string
	failed   error
}

func (r ran) code() int { return ExitCode(r.failed) }

// command runs a command line with in as its standard input.
func command(t *testing.T, in string, args ...string) ran {
	t.Helper()
	return commandOn(t, Streams{In: strings.NewReader(in)}, args...)
}

func commandOn(t *testing.T, s Streams, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	s.Out, s.Err = &out, &errs
	var c struct {
		Commands
		Tenants TenantCommands `cmd:""`
	}
	parser, err := kong.New(&c, kong.Name("grapnel"), kong.Bind(s), kong.BindTo(t.Context(), (*context.Context)(nil)))
	require.NoError(t, err)
	parsed, err := parser.Parse(args)
	if err == nil {
		err = parsed.Run()
	}
	return ran{out.String(), errs.String(), err}
}

// answering starts an API that gives every request the same answer, and returns the --url flag for it.
func answering(t *testing.T, status int, contentType, body string) (flag string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return "--url=" + server.URL
}

func problem(t *testing.T, status int, code, detail string) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"status": status, "code": code, "detail": detail, "title": http.StatusText(status), "type": "about:blank"})
	require.NoError(t, err)
	return string(text)
}
