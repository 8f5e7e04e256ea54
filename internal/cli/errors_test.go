package cli

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExitCodesOfAnswers(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int{
		http.StatusBadRequest: 2, http.StatusConflict: 2, http.StatusUnprocessableEntity: 2,
		http.StatusTooManyRequests: 3, http.StatusInternalServerError: 3, http.StatusServiceUnavailable: 3, http.StatusRequestTimeout: 3,
		http.StatusUnauthorized: 4, http.StatusForbidden: 4, http.StatusNotFound: 5,
	} {
		r := command(t, "", "webhooks", "get", "hook_1", answering(t, status, "application/problem+json", problem(t, status, "CODE", "what is wrong")))
		require.Equal(t, want, r.code(), status)
		text := "what is wrong (" + strconv.Itoa(status) + " CODE)"
		if status == http.StatusUnauthorized {
			text += ": give an API key with --key or GRAPNEL_KEY"
		}
		require.EqualError(t, r.failed, text)
		require.Empty(t, r.out)
	}
}

func TestAnswersOfOthers(t *testing.T) {
	t.Parallel()
	r := command(t, "", "webhooks", "list", answering(t, http.StatusBadGateway, "text/html", "<html>"))
	require.Equal(t, 3, r.code())
	require.EqualError(t, r.failed, "the server answered 502 Bad Gateway")
	for _, contentType := range []string{"text/html", "application/json"} {
		r = command(t, "", "webhooks", "list", answering(t, http.StatusOK, contentType, "<html>"))
		require.Equal(t, 1, r.code())
		require.ErrorContains(t, r.failed, "the server at --url is not Grapnel's API")
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	r := command(t, "", "webhooks", "list", "--url=http://"+listener.Addr().String())
	require.Equal(t, 3, r.code())
	require.ErrorContains(t, r.failed, "the API can't be reached")
	require.ErrorContains(t, r.failed, "connection refused")
}

func TestWrongCommandLines(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"webhooks list --url=nowhere":               `--url "nowhere"`,
		"webhooks list --profile=kafka":             "--profile",
		"webhooks get":                              "<id>",
		"webhooks create http://example.com":        "<events>",
		"webhooks update hook_1":                    "nothing to change",
		"events publish --data=1":                   "--data needs --type",
		"events publish --id=1":                     "--id needs --data",
		"events publish --batch=0":                  "--batch 0: want 1 to 1000",
		"events publish --rate=-1":                  "--rate -1",
		"events publish x.ndjson --type=a --data=1": "give no file with it",
		"events publish /does/not/exist":            "no such file",
		"events publish --type=a --data={":          "--data is not JSON",
		"listen --status=99":                        "--status 99",
		"listen --count=-1":                         "no negative value",
		"verify":                                    "--secret",
		"verify --secret=x /does/not/exist":         "no such file",
		"deliveries":                                "expected one of",
	} {
		r := command(t, "", strings.Fields(line)...)
		require.ErrorContains(t, r.failed, want, line)
		require.Equal(t, 2, r.code(), line)
	}
}

func TestEveryExitCodeIsDocumented(t *testing.T) {
	t.Parallel()
	for _, code := range []int{0, codeOther, codeWrong, codeUnavailable, codeKey, codeNotFound, codeNo} {
		require.Contains(t, ExitCodes, "\n  "+strconv.Itoa(code)+"  ")
	}
}
