package app_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// raw sends bytes on a connection of its own and returns the whole answer. The
// server must close the connection.
func (r *running) raw(t *testing.T, request string) []byte {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", r.addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, _ = io.WriteString(conn, request) // the server may answer and close before it has read everything
	answer, _ := io.ReadAll(conn)        // in that case the connection may end with a reset
	return answer
}

// Spec 6: one format everywhere, also when net/http refuses an invalid request.
func TestRefusalsBeforeAnyHandler(t *testing.T) {
	t.Parallel()
	r := start(t, options(t))
	r.awaitKey(t)
	const end = "Host: x\r\nConnection: close\r\nAuthorization: Bearer " + adminKey + "\r\n\r\n"
	for name, c := range map[string]struct {
		request string
		status  int
		code    string
	}{
		"a path that can't be decoded": {"GET /v1/webhooks/%zz HTTP/1.1\r\n" + end, 400, "INVALID_ARGUMENT"},
		"a path cut off":               {"GET /v1/webhooks/% HTTP/1.1\r\n" + end, 400, "INVALID_ARGUMENT"},
		"a query that can't be read":   {"GET /v1/webhooks?limit=%zz HTTP/1.1\r\n" + end, 400, "INVALID_ARGUMENT"},
		"a control in the path":        {"GET /v1/\x01 HTTP/1.1\r\n" + end, 400, "INVALID_ARGUMENT"},
		"no path":                      {"GET HTTP/1.1\r\n" + end, 400, "INVALID_ARGUMENT"},
		"a star":                       {"GET * HTTP/1.1\r\n" + end, 404, "NOT_FOUND"},
		"options of all":               {"OPTIONS * HTTP/1.1\r\n" + end, 404, "NOT_FOUND"},
		"a tunnel":                     {"CONNECT evil.example:443 HTTP/1.1\r\n" + end, 404, "NOT_FOUND"},
		"no request at all":            {"\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400, "INVALID_ARGUMENT"},
		"no host":                      {"GET /v1/webhooks HTTP/1.1\r\n\r\n", 400, "INVALID_ARGUMENT"},
		"two hosts":                    {"GET /v1/webhooks HTTP/1.1\r\nHost: a\r\n" + end, 400, "INVALID_ARGUMENT"},
		"another protocol":             {"GET /v1/webhooks HTTP/7.1\r\n" + end, 505, "INVALID_ARGUMENT"},
		"a header without a colon":     {"GET /v1/webhooks HTTP/1.1\r\nnonsense\r\n" + end, 400, "INVALID_ARGUMENT"},
		"a control in a header":        {"GET /v1/webhooks HTTP/1.1\r\nX: a\x00b\r\n" + end, 400, "INVALID_ARGUMENT"},
		"one header too large":         {"GET /v1/webhooks HTTP/1.1\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n" + end, 431, "PAYLOAD_TOO_LARGE"},
		"too many headers":             {"GET /v1/webhooks HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 20_000) + end, 431, "PAYLOAD_TOO_LARGE"},
		"a path too long":              {"GET /v1/webhooks/" + strings.Repeat("x", 80<<10) + " HTTP/1.1\r\n" + end, 431, "PAYLOAD_TOO_LARGE"},
		"lengths that differ":          {"POST /v1/events HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n" + end, 400, "INVALID_ARGUMENT"},
		"a length that is none":        {"POST /v1/events HTTP/1.1\r\nContent-Length: -1\r\n" + end, 400, "INVALID_ARGUMENT"},
		"an unknown transfer coding":   {"POST /v1/events HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n" + end, 501, "INVALID_ARGUMENT"},
		"an unknown expectation":       {"POST /v1/events HTTP/1.1\r\nExpect: a miracle\r\nContent-Length: 1\r\n" + end, 417, "INVALID_ARGUMENT"},
		"a chunk that is none":         {"POST /v1/events HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n" + end + "zz\r\n", 400, "INVALID_ARGUMENT"},
		"two framings":                 {"POST /v1/events HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n" + end + "0\r\n\r\n", 400, "INVALID_ARGUMENT"},
		"two framings, the other way":  {"POST /v1/events HTTP/1.1\r\ntransfer-encoding: chunked\r\nX: y\r\nCONTENT-LENGTH: 5\r\n" + end + "0\r\n\r\n", 400, "INVALID_ARGUMENT"},
		"two framings of HTTP/1.0":     {"POST /v1/events HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n" + end + "12345", 400, "INVALID_ARGUMENT"},
		"many parameters":              {"GET /v1/webhooks?" + strings.Repeat("a&", 15_000) + " HTTP/1.1\r\n" + end, 400, "INVALID_ARGUMENT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := r.raw(t, c.request)
			response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(answer))), nil)
			require.NoError(t, err, "%q", answer)
			defer response.Body.Close()
			require.Equal(t, c.status, response.StatusCode, "%q", answer)
			require.Equal(t, "application/problem+json", response.Header.Get("Content-Type"), "%q", answer)
			var p struct {
				Type, Title, Code, Detail string
				Status                    int
			}
			require.NoError(t, json.NewDecoder(response.Body).Decode(&p), "%q", answer)
			require.Equal(t, c.code, p.Code)
			require.Equal(t, c.status, p.Status)
			require.Equal(t, http.StatusText(c.status), p.Title)
			require.Equal(t, "about:blank", p.Type)
			require.NotEmpty(t, p.Detail)
		})
	}
}

// A request that arrives in many parts is accepted.
// A client that is refused before it has sent its body gets the answer instead of a reset.
func TestRefusalsOfRequestsWithABody(t *testing.T) {
	t.Parallel()
	r := start(t, options(t))
	r.awaitKey(t)
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", r.addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	body := strings.Repeat("x", 64<<10)
	_, err = io.WriteString(conn, "POST /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 65536\r\n\r\n"+body)
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err, "no reset")
	require.Contains(t, string(answer), "HTTP/1.1 401 ")
	require.Contains(t, string(answer), "UNAUTHENTICATED")
}

func TestLargeRequestsBelowTheBounds(t *testing.T) {
	t.Parallel()
	r := start(t, options(t))
	r.awaitKey(t)
	answer := r.raw(t, "GET /v1/webhooks HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "+adminKey+"\r\n"+
		strings.Repeat("X-Many: y\r\n", 2000)+"X-Large: "+strings.Repeat("x", 30<<10)+"\r\n\r\n")
	require.Contains(t, string(answer[:min(40, len(answer))]), "200 OK")
}
