package egress

import (
	"errors"
	"io"
	"net/http"

	"grapnel/internal/hook"
)

// readBody reads what is logged of an answer's body, however it ends: the status
// has decided already. An HTTP/1 connection is kept only if the end was reached;
// draining a longer body could take as long as its sender likes.
func readBody(resp *http.Response, a *hook.Attempt) {
	defer resp.Body.Close() // nothing depends on the rest of the body
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return // what follows is no body
	}
	body, ended := readStart(resp)
	length, announced := int64(len(body)), resp.ContentLength // no pointer into the answer, which would be kept
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

// readStart reads a body up to hook.MaxResponseBody, and reports whether it ended there.
func readStart(resp *http.Response) (body []byte, ended bool) {
	if resp.ContentLength == 0 {
		return nil, true
	}
	size := int64(512)
	if resp.ContentLength > 0 {
		size = min(resp.ContentLength, hook.MaxResponseBody-1) + 1 // one more for the end; the length is the receiver's word
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
		return buf, false // its length says whether that was all
	}
	_, err := io.ReadFull(resp.Body, make([]byte, 1))
	return buf, errors.Is(err, io.EOF)
}
