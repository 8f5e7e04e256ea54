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

// requestLine matches the first line of a request, in every version of HTTP.
var requestLine = regexp.MustCompile(`^[A-Z]+ \S+ HTTP/[0-9.]+\r?\n`)

// parseRequest parses a saved request: with or without its first line, with LF or CRLF after its headers. The body
// is the rest, up to Content-Length if that header is present, so that a line break that an editor added at the end
// is ignored.
func parseRequest(raw []byte) (http.Header, []byte, error) {
	raw = requestLine.ReplaceAll(raw, nil)
	reader := bufio.NewReader(bytes.NewReader(raw))
	mime, err := textproto.NewReader(reader).ReadMIMEHeader()
	header := http.Header(mime)
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil, errors.New("the request has no empty line after its headers")
	case err != nil:
		return nil, nil, fmt.Errorf("the request's headers cannot be parsed: %w", err)
	}
	body, err := io.ReadAll(reader)
	if err != nil {
		return nil, nil, err
	}
	if strings.EqualFold(header.Get("Transfer-Encoding"), "chunked") {
		if whole, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(body))); err == nil {
			return header, whole, nil
		}
		return header, body, nil // the saving program had already joined the chunks
	}
	if text := header.Get("Content-Length"); text != "" {
		length, err := strconv.Atoi(text)
		if err != nil || length < 0 || length > len(body) {
			return nil, nil, fmt.Errorf("the body has %d bytes, but Content-Length is %q", len(body), text)
		}
		body = body[:length]
	}
	return header, body, nil
}
