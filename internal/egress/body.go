package egress

import (
	"errors"
	"io"
	"net/http"

	"grapnel/internal/hook"
)

// readBody reads the logged part of an answer's body. An error of the body has no effect: the status
// line has decided already. An HTTP/1 connection is kept only if the body's end was reached;
// reading a longer body to its end could take as long as its sender likes.
func readBody(resp *http.Response, a *hook.Attempt) {
	defer resp.Body.Close() // nothing depends on the rest of the body
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return // the following bytes are not a body
	}
	body, ended := readStart(resp)
	length, announced := int64(len(body)), resp.ContentLength // a copy: a pointer would keep the answer in memory
	a.ResponseBody = body
	switch {
	case ended:
		a.ResponseLength = &length
	case announced >= 0:
		a.ResponseLength = &announced
		a.ResponseTruncated = announced > length
	default:
		a.ResponseTruncated = true
	}
}

// readStart reads at most hook.MaxResponseBody bytes of a body, and reports whether that was the whole body.
func readStart(resp *http.Response) (body []byte, ended bool) {
	if resp.ContentLength == 0 {
		return nil, true
	}
	size := int64(512)
	if resp.ContentLength > 0 {
		size = min(resp.ContentLength, hook.MaxResponseBody-1) + 1 // one more for the end; the announced length may be wrong
	}
	buf := make([]byte, 0, size)
	for len(buf) < hook.MaxResponseBody {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := resp.Body.Read(buf[len(buf):min(cap(buf), hook.MaxResponseBody)])
		buf = buf[:len(buf)+n]
		if err != nil {
			return buf, errors.Is(err, io.EOF)
		}
	}
	if resp.ContentLength >= 0 {
		return buf, false // the number of bytes shows whether that was the whole body
	}
	_, err := io.ReadFull(resp.Body, make([]byte, 1))
	return buf, errors.Is(err, io.EOF)
}
