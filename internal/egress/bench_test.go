package egress

import (
	"bufio"
	"io"
	"net"
	"testing"
)

// BenchmarkSend measures a delivery over a kept connection. The receiver is in
// the same process but allocates nothing, so that only the client's allocations are counted.
func BenchmarkSend(b *testing.B) {
	const size = 1024
	r := listen(b, func(_ *receiver, c net.Conn, _ int64) {
		br := bufio.NewReader(c)
		for {
			line, err := br.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) > len("\r\n") {
				continue
			}
			if _, err := br.Discard(size); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	c := setup(b)
	req := request(r.url())
	req.Header["X-Webhook-Signature"] = []string{"5d41402abc4b2a76b9719d911017c592"}
	req.Header["X-Event-Type"] = []string{"user.created"}
	req.Body = make([]byte, size)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		a, err := c.Send(ctx, req)
		if err != nil || !a.Succeeded() {
			b.Fatal(err, a.Error)
		}
	}
}
