package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
)

// requestLine matches what a request begins with, in every version of HTTP.
var requestLine = regexp.MustCompile(`^[A-Z]+ \S+ HTTP/[0-9.]+\r?\n`)

// parseRequest reads a request as somebody saved it: with or without its first
// line, with LF or CRLF after its headers. The body is what follows, up to
// Content-Length where that is given, so that an editor's last line break does no
// harm.
func parseRequest(raw []byte) (http.Header, []byte, error) {
	raw = requestLine.ReplaceAll(raw, nil)
	reader := bufio.NewReader(bytes.NewReader(raw))
	mime, err := textproto.NewReader(reader).ReadMIMEHeader()
	header := http.Header(mime)
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil, errors.New("the request ends before an empty line has ended its headers")
	case err != nil:
		return nil, nil, fmt.Errorf("the request's headers can't be read: %w", err)
	}
	body, err := io.ReadAll(reader)
	if err != nil {
		return nil, nil, err
	}
	if strings.EqualFold(header.Get("Transfer-Encoding"), "chunked") {
		if whole, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(body))); err == nil {
			return header, whole, nil
		}
		return header, body, nil // saved by something that had put the chunks together
	}
	if text := header.Get("Content-Length"); text != "" {
		length, err := strconv.Atoi(text)
		if err != nil || length < 0 || length > len(body) {
			return nil, nil, fmt.Errorf("the body has %d bytes, and Content-Length says %q", len(body), text)
		}
		body = body[:length]
	}
	return header, body, nil
}
