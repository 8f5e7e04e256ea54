package e2e

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha3"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// onTheWire is a request as it was sent, line by line.
type onTheWire struct {
	lines []string
	body  string
}

// newWire starts a receiver on a plain connection, because net/http hides the spelling of header names. It answers
// 200.
func newWire(t *testing.T) (url string, requests <-chan onTheWire) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	out := make(chan onTheWire, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if request, err := readWire(bufio.NewReader(conn)); err == nil {
				out <- request
				// A failed write shows in the delivery log.
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		<-done
	})
	return "http://" + l.Addr().String(), out
}

func readWire(in *bufio.Reader) (r onTheWire, err error) {
	length := 0
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return r, err
		}
		if line == "\r\n" {
			break
		}
		line = strings.TrimSuffix(line, "\r\n")
		r.lines = append(r.lines, line)
		if value, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			if length, err = strconv.Atoi(value); err != nil {
				return r, err
			}
		}
	}
	body := make([]byte, length)
	_, err = io.ReadFull(in, body)
	r.body = string(body)
	return r, err
}

// requireWire compares a request line and all headers exactly; the patterns are for the values of the last headers.
func requireWire(t *testing.T, got onTheWire, url string, patterns ...string) {
	t.Helper()
	_, host, _ := strings.Cut(url, "//")
	require.Equal(t, "POST /hook?a=b HTTP/1.1", got.lines[0])
	want := []string{"Host: " + host, "Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(got.body))}
	for _, line := range got.lines[1:] {
		for _, pattern := range patterns {
			if regexp.MustCompile("^" + pattern + "$").MatchString(line) {
				want = append(want, line)
			}
		}
	}
	require.Len(t, want, 3+len(patterns), "%q", got.lines)
	require.ElementsMatch(t, want, got.lines[1:], "these and no others")
}

// hmacSHA3 computes Momento's signature with the standard library.
func hmacSHA3(secret, body string) string {
	mac := hmac.New(func() hash.Hash { return sha3.New256() }, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// Spec 1: a Momento webhook's request has exactly six headers, and the signature's name is in lower case. A test
// delivery's request does too; its message has the sequence number 0.
func TestMomentoHeadersOnTheWire(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	cache, topic := topicOf(t)
	url, requests := newWire(t)
	secret := c.topicHook(cache, "wire", url+"/hook?a=b", topic)
	check := func(sequence int64) {
		got := <-requests
		m, err := parseMessage([]byte(got.body))
		require.NoError(t, err)
		require.Equal(t, got.body, m.again())
		require.Equal(t, sequence, m.Sequence)
		requireWire(t, got, url,
			regexp.QuoteMeta("User-Agent: Momento/1.0 (Webhooks; +https://docs.momentohq.com/topics/webhooks)"),
			"momento-signature: "+hmacSHA3(secret, got.body))
	}
	c.say(cache, topic, "Grüße")
	check(1)
	hook := c.topicHookOf(cache, "wire")
	require.Equal(t, "success", c.do("POST", "/v1/webhooks/"+hook["id"].(string)+"/test", nil, 200)["status"])
	check(0)
	c.say(cache, topic, "")
	check(2)
}

// Spec 1: the signature is the only header specific to Commenda.
func TestCommendaHeadersOnTheWire(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	url, requests := newWire(t)
	topic := c.commendaTopic()
	_, key := c.commendaHook(url+"/hook?a=b", object{"topics": []string{topic}})
	c.commendaPublish(topic, object{"id": "Grüße"})
	got := <-requests
	requireWire(t, got, url, `User-Agent: Grapnel/\S+`, "Commenda-X-Secret: "+hmacHex(key, []byte(got.body)))
}
