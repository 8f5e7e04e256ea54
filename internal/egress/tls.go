package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
)

// dialTLS opens a TLS connection. For HTTP/1 it returns a tlsConn, which reads the status line. For HTTP/2 it
// returns crypto/tls's connection, because net/http recognizes HTTP/2 by that type.
func (p *pool) dialTLS(ctx context.Context, network, addr string, protocols []string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	nc, err := p.client.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	raw, _ := nc.(*conn)
	raw.sealed = true
	config := p.client.tls.Clone()
	config.ServerName, config.NextProtos = strings.TrimSuffix(host, "."), protocols
	t, traced := ctx.Value(traceKey{}).(*trace)
	if traced {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			t.wantedCertificate()
			return &tls.Certificate{}, nil // no certificate
		}
		t.begin(&t.tls)
	}
	secured := tls.Client(raw, config)
	err = secured.HandshakeContext(ctx)
	if traced {
		t.tlsDone(err)
	}
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	if secured.ConnectionState().NegotiatedProtocol == protocolHTTP2 {
		return secured, nil
	}
	return &tlsConn{Conn: secured, raw: raw}, nil
}

const (
	protocolHTTP1 = "http/1.1"
	protocolHTTP2 = "h2"
)

// handshakeProblem describes what is wrong with a TLS handshake, in words for the receiver's
// owner. It returns "" if nothing more is known.
func handshakeProblem(err error, o outcome) string {
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		if strings.HasPrefix(string(record.RecordHeader[:]), "HTTP/") {
			return "the port speaks plain HTTP"
		}
		return "the port does not speak TLS"
	}
	if o.certificateWanted {
		return "the receiver asks for a client certificate"
	}
	// Alerts have no exported type over TCP. Their text contains no names or addresses.
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil && (op.Op == "remote error" || op.Op == "local error") {
		return strings.TrimPrefix(op.Err.Error(), "tls: ")
	}
	return ""
}

// http1Only disables HTTP/2 in a transport.
func http1Only(t *http.Transport) {
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
}
