package egress

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSendHeadersOnTheWire(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	r := listen(t, func(_ *receiver, c net.Conn, _ int64) {
		br := bufio.NewReader(c)
		var text strings.Builder
		for !strings.HasSuffix(text.String(), "\r\n\r\n{\"a\":1}") {
			b, err := br.ReadByte()
			if err != nil {
				break
			}
			text.WriteByte(b)
		}
		_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		got <- text.String()
	})
	req := request(r.url() + "?q=%C3%A9&r=ß&f[]={\"a\"|<b>^`}")
	req.Body = []byte(`{"a":1}`)
	req.Header = http.Header{
		"Content-Type":        {"application/json"},
		"momento-signature":   {"abc"},
		"X-Webhook-Signature": {"def"},
		"webhook-id":          {"evt_1"},
		"X-API-KEY":           {"k2"},
		"Idempotency-Key":     {"k1"},
		"Expect":              {"100-continue"},
		"accept-encoding":     {"gzip"},
		"Transfer-Encoding":   {"chunked"},
		"Content-Length":      {"99"},
		"Connection":          {"close"},
	}
	c := setup(t)
	a, err := c.Send(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, "POST /hook?q=%C3%A9&r=%C3%9F&f%5B%5D=%7B%22a%22%7C%3Cb%3E%5E%60%7D HTTP/1.1\r\n"+
		"Host: "+r.listener.Addr().String()+"\r\n"+
		"User-Agent: Grapnel-Test/1.0\r\n"+
		"Content-Length: 7\r\n"+
		"Content-Type: application/json\r\n"+
		"X-API-KEY: k2\r\n"+
		"X-Webhook-Signature: def\r\n"+
		"idempotency-key: k1\r\n"+
		"momento-signature: abc\r\n"+
		"webhook-id: evt_1\r\n"+
		"\r\n"+`{"a":1}`, <-got)
	require.Equal(t, http.Header{
		"Content-Type":        {"application/json"},
		"momento-signature":   {"abc"},
		"X-Webhook-Signature": {"def"},
		"webhook-id":          {"evt_1"},
		"X-API-KEY":           {"k2"},
		"idempotency-key":     {"k1"},
		"User-Agent":          {"Grapnel-Test/1.0"},
		"Content-Length":      {"7"},
	}, a.RequestHeaders)
	require.Len(t, req.Header, 11, "the caller's header is left alone")
}

func TestSendUserAgentOfTheRequest(t *testing.T) {
	t.Parallel()
	agents := make(chan []string, 2)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { agents <- r.Header["User-Agent"] }))
	t.Cleanup(srv.Close)
	c := setup(t)
	for _, name := range []string{"User-Agent", "user-agent"} {
		req := request(srv.URL)
		req.Header = http.Header{name: {"Momento/1.0"}}
		_, err := c.Send(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, []string{"Momento/1.0"}, <-agents)
	}
}

// t.Setenv forbids t.Parallel. The proxy would answer if the client used it.
func TestSendIgnoresProxies(t *testing.T) { //nolint:paralleltest // see above
	proxy := listen(t, saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	r := listen(t, saying("HTTP/1.1 204 No Content\r\n\r\n"))
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"} {
		t.Setenv(name, "http://"+proxy.listener.Addr().String())
	}
	c := setup(t, func(cfg *Config) { cfg.Resolver = names(map[string][]string{"receiver.test": {"127.0.0.1"}}) })
	_, port, err := net.SplitHostPort(r.listener.Addr().String())
	require.NoError(t, err)
	a, err := c.Send(t.Context(), request("http://receiver.test:"+port))
	require.NoError(t, err)
	require.Equal(t, 204, a.StatusCode)
	require.Zero(t, proxy.conns.Load())
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Resolver: &net.Resolver{}})
	require.Error(t, err)
	_, err = New(Config{MaxIdlePerHost: -1})
	require.Error(t, err)
}
