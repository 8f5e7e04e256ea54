package egress

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// endless writes a text again and again, without a pause, until the client closes the connection.
func endless(c net.Conn, text string) {
	for junk := strings.Repeat(text, 1+4096/len(text)); ; {
		if _, err := io.WriteString(c, junk); err != nil {
			return
		}
	}
}

// Spec 1, 8: at most 64 KiB of headers and 16 KiB of body of a receiver's answer are read, whatever its size is
// after decompression and however long it is.
func TestAnswersThatAreBombs(t *testing.T) { //nolint:paralleltest // it measures what this process allocates
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, err := w.Write(zeros)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.Greater(t, bomb.Len(), hook.MaxResponseBody)

	const most = 10 * time.Second
	for _, c := range []struct { //nolint:paralleltest // see above
		name   string
		script func(c net.Conn)
		status int
		class  hook.ErrorClass
		body   []byte
	}{
		{
			name: "gzip that unfolds to 64 MiB",
			script: func(c net.Conn) {
				_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s", bomb.Len(), bomb.Bytes())
			},
			status: 200, body: bomb.Bytes()[:hook.MaxResponseBody],
		},
		{
			name: "chunks of gzip, for a failure",
			script: func(c net.Conn) {
				_, _ = fmt.Fprintf(c, "HTTP/1.1 500 Oh\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", bomb.Len(), bomb.Bytes())
			},
			status: 500, class: hook.ClassStatus, body: bomb.Bytes()[:hook.MaxResponseBody],
		},
		{
			name: "chunks without end",
			script: func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
				endless(c, "1\r\nx\r\n")
			},
			status: 200, body: bytes.Repeat([]byte("x"), hook.MaxResponseBody),
		},
		{
			name: "a body that says it has exabytes",
			script: func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n")
				endless(c, "x")
			},
			status: 200, body: bytes.Repeat([]byte("x"), hook.MaxResponseBody),
		},
		{
			name: "small headers without end",
			script: func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
				endless(c, "X-A: b\r\n")
			},
			status: 200,
		},
		{
			name: "one header without end",
			script: func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-A: ")
				endless(c, "b")
			},
			status: 200,
		},
		{
			name: "headers without end after a failure's status line",
			script: func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 500 Oh\r\n")
				endless(c, "X-A: b\r\n")
			},
			status: 500, class: hook.ClassStatus,
		},
		{name: "a status line without end", script: func(c net.Conn) { endless(c, "HTTP/1.1 200 O") }, class: hook.ClassTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := setup(t)
			r := listen(t, answering(func(_ *receiver, conn net.Conn) { c.script(conn) }))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			a, err := client.Send(t.Context(), Request{URL: r.url(), Body: []byte("{}"), Timeout: most})
			runtime.ReadMemStats(&after)
			require.NoError(t, err)
			require.Equal(t, c.status, a.StatusCode)
			require.Equal(t, c.class, a.Class)
			require.Equal(t, c.body, a.ResponseBody)
			require.Less(t, a.Duration, most, "it ends when enough is read")
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), "bytes allocated")
		})
	}
}
