package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/net/http2"

	"grapnel/internal/hook"
)

// localFailure returns the reason on this machine why the request could not be sent or awaited; nil if the
// receiver caused the failure, or the cause is unknown.
func localFailure(ctx context.Context, err error, o outcome) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errDeadline) {
		return cause
	}
	if o.connected {
		return nil
	}
	var (
		dns   *net.DNSError
		roots x509.SystemRootsError
	)
	if isExhaustion(err) || errors.As(err, &roots) || o.starved && errors.As(err, &dns) {
		return err
	}
	return nil
}

// isExhaustion reports whether this machine lacked the resources to connect.
func isExhaustion(err error) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ENETDOWN:
		return true
	case syscall.EADDRNOTAVAIL:
		// All local ports are in use. With IPv6 it may also mean that this host has
		// no IPv6 address, which must not delay the delivery forever.
		var op *net.OpError
		if !errors.As(err, &op) {
			return false
		}
		to, ok := op.Addr.(*net.TCPAddr)
		return ok && to.IP.To4() != nil
	default:
		return false
	}
}

// classify returns the class and the text of an attempt without an answer. The error's type
// decides; if net/http has no type for it, the progress of the attempt decides.
func classify(err error, o outcome) (hook.ErrorClass, string) {
	var (
		blocked *blockedError
		dns     *net.DNSError
		network net.Error
		op      *net.OpError
	)
	if errors.As(err, &blocked) {
		return hook.ClassBlocked, hook.TextBlocked
	}
	if errors.As(err, &dns) && !errors.Is(err, context.DeadlineExceeded) {
		return hook.ClassDNS, hook.TextNameFailed
	}
	if problem := certificateProblem(err); problem != "" {
		return hook.ClassTLS, because(hook.TextCertificate, problem)
	}
	if errors.As(err, &network) && network.Timeout() {
		return hook.ClassTimeout, hook.TextTimeout
	}
	if class, text := classifyErrno(err); class != hook.ClassNone {
		return class, text
	}
	var violation http2.ConnectionError // the receiver broke HTTP/2's rules
	invalid := o.answered || errors.As(err, &violation)
	switch {
	case invalid && o.received >= maxResponseHeaders: // over HTTP/2 the bytes of other answers count, too
		return hook.ClassTooLarge, hook.TextTooLarge
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, errMaybeReceived):
		return hook.ClassReset, hook.TextReset
	case o.tlsFailed:
		return hook.ClassTLS, because(hook.TextHandshake, handshakeProblem(err, o))
	case errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"):
		// A TLS alert. With TLS 1.3 it can come after the client's side of the handshake, for
		// example when the receiver requires a client certificate.
		return hook.ClassTLS, because(hook.TextHandshake, handshakeProblem(err, o))
	case invalid:
		return hook.ClassProtocol, because(hook.TextProtocol, protocolProblem(err, o))
	case o.connected:
		return hook.ClassReset, hook.TextReset
	default:
		return hook.ClassOther, hook.TextOther
	}
}

// because adds the cause to a text, unless it is empty.
func because(text, cause string) string {
	if cause == "" {
		return text
	}
	return text + ": " + cause
}

// protocolProblem describes what is wrong with an answer, in words for the receiver's owner.
func protocolProblem(err error, o outcome) string {
	var connection http2.ConnectionError
	var stream http2.StreamError
	switch {
	case errors.As(err, &connection):
		return "HTTP/2 connection error " + http2.ErrCode(connection).String()
	case errors.As(err, &stream):
		return "HTTP/2 stream error " + stream.Code.String()
	case errors.Is(err, errInformational):
		return "too many informational answers"
	case !o.http2:
		return "it does not begin with an HTTP status line"
	}
	return ""
}

func classifyErrno(err error) (hook.ErrorClass, string) {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return hook.ClassNone, ""
	}
	switch errno {
	case syscall.ECONNREFUSED:
		return hook.ClassRefused, hook.TextRefused
	case syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE:
		return hook.ClassReset, hook.TextReset
	case syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EADDRNOTAVAIL,
		syscall.EACCES, syscall.EPERM: // a local firewall refused the connection
		return hook.ClassUnreachable, hook.TextUnreachable
	default:
		return hook.ClassNone, ""
	}
}

// certificateProblem describes what is wrong with the receiver's certificate, in words
// for its owner. It returns "" if the error has another cause.
func certificateProblem(err error) string {
	var (
		verification *tls.CertificateVerificationError
		host         x509.HostnameError
		authority    x509.UnknownAuthorityError
		invalid      x509.CertificateInvalidError
		critical     x509.UnhandledCriticalExtension
		algorithm    x509.InsecureAlgorithmError
	)
	switch {
	case errors.As(err, &host):
		return "certificate is not valid for " + host.Host
	case errors.As(err, &authority):
		return "certificate is signed by an unknown authority"
	case errors.As(err, &invalid):
		return invalidCertificate(invalid)
	case errors.As(err, &critical):
		return "certificate has an unhandled critical extension"
	case errors.As(err, &algorithm):
		return "certificate is signed with an insecure algorithm"
	case errors.As(err, &verification):
		return "certificate is not valid"
	default:
		return ""
	}
}

// outOfTime describes a certificate that has expired or is not valid yet, with the date.
func outOfTime(c *x509.Certificate) string {
	switch {
	case c == nil:
		return "certificate has expired"
	case time.Now().Before(c.NotBefore):
		return "certificate is not valid yet (" + c.NotBefore.UTC().Format(time.DateOnly) + ")"
	default:
		return "certificate has expired (" + c.NotAfter.UTC().Format(time.DateOnly) + ")"
	}
}

func invalidCertificate(e x509.CertificateInvalidError) string {
	switch e.Reason {
	case x509.Expired: // or not valid yet
		return outOfTime(e.Cert)
	case x509.NotAuthorizedToSign:
		return "certificate is signed by one that may not sign"
	case x509.IncompatibleUsage:
		return "certificate is not meant for servers"
	case x509.TooManyIntermediates:
		return "certificate chain is too long"
	case x509.CANotAuthorizedForThisName:
		return "certificate is signed by an authority not authorized for this name"
	default:
		return "certificate is not valid"
	}
}
