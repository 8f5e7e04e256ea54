package app_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// On a connection with several requests, a request with two framings is refused, at every position, and
// nothing after it is read. The requests before it are answered.
func TestRequestsWithTwoFramings(t *testing.T) {
	t.Parallel()
	r := start(t, options(t))
	r.awaitKey(t)
	request := func(method, path, header, body string) string {
		return method + " " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + adminKey + "\r\nContent-Type: application/json\r\n" + header + "\r\n" + body
	}
	chunked := func(text string) string {
		half := len(text) / 2
		return fmt.Sprintf("%x\r\n%s\r\n%X;ext=1\r\n%s\r\n0\r\n", half, text[:half], len(text)-half, text[half:])
	}
	const event = `{"type":"user.created","data":"\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"}`
	measured := request("POST", "/v1/events", "Content-Length: "+itoa(len(event))+"\r\n", event)
	coded := request("POST", "/v1/events", "Transfer-Encoding: chunked\r\n", chunked(event)+"\r\n")
	trailed := request("POST", "/v1/events", "Transfer-Encoding: chunked\r\n", chunked(event)+"Content-Length: 5\r\n\r\n")
	bare := request("GET", "/v1/webhooks", "", "")
	both := request("POST", "/v1/events", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")
	folded := request("POST", "/v1/events", "Content-Length: 4\r\n 4\r\n", event)
	for name, c := range map[string]struct {
		requests string
		statuses []int
	}{
		"one after the other":       {measured + coded + bare + trailed + measured + bare, []int{202, 202, 200, 202, 202, 200}},
		"two framings at first":     {both + bare, []int{400}},
		"after a length":            {measured + both + bare, []int{202, 400}},
		"after chunks":              {coded + both + bare, []int{202, 400}},
		"after a trailer":           {trailed + both + bare, []int{202, 400}},
		"after none":                {bare + both + bare, []int{200, 400}},
		"a length in two lines":     {bare + folded + bare, []int{200, 400}},
		"a body that looks like it": {measured + measured + bare, []int{202, 202, 200}},
	} {
		for _, size := range []int{1 << 20, 7, 1} {
			t.Run(fmt.Sprint(name, " by ", size), func(t *testing.T) {
				t.Parallel()
				statuses, last := r.converse(t, c.requests, size, len(c.statuses))
				require.Equal(t, c.statuses, statuses)
				if c.statuses[len(c.statuses)-1] == http.StatusBadRequest {
					require.Contains(t, last, "application/problem+json")
				}
			})
		}
	}
}

// converse sends requests over one connection in pieces of the given size, and reads that many
// answers. After an answer that refuses, the connection must end.
func (r *running) converse(t *testing.T, requests string, size, answers int) (statuses []int, last string) {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", r.addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	go func() {
		for text := requests; text != ""; {
			n := min(size, len(text))
			if _, err := io.WriteString(conn, text[:n]); err != nil {
				return // the server has closed the connection
			}
			text = text[n:]
		}
	}()
	reader := bufio.NewReader(conn)
	for range answers {
		response, err := http.ReadResponse(reader, nil)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		statuses, last = append(statuses, response.StatusCode), response.Header.Get("Content-Type")+string(body)
	}
	if statuses[answers-1] == http.StatusBadRequest {
		rest, _ := io.ReadAll(reader) // the connection may end with a reset
		require.Empty(t, strings.TrimSpace(string(rest)))
	}
	return statuses, last
}
