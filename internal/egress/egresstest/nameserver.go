package egresstest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/net/idna"
)

// The types of questions that a NameServer answers, and its codes.
const (
	typeA, typeAAAA = 1, 28
	headerSize      = 12
	nameError       = 3
)

// NameServer answers for the names it knows and denies all others. A name without
// addresses never gets an answer.
type NameServer struct {
	mu      sync.Mutex
	known   map[string][][]string
	lookups map[string]int
	lost    map[string]bool
}

// LoseAAAA has questions for a name's IPv6 addresses never answered.
func (s *NameServer) LoseAAAA(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost == nil {
		s.lost = map[string]bool{}
	}
	s.lost[name] = true
}

func (s *NameServer) isLost(name string, qtype byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return qtype == typeAAAA && s.lost[name]
}

// NewNameServer knows the given names: what each lookup in turn is told, and the
// last of it ever after.
func NewNameServer(known map[string][][]string) *NameServer {
	return &NameServer{known: known, lookups: map[string]int{}}
}

// Known is what the table's hosts resolve to.
func Known(destinations []Destination) map[string][][]string {
	known := map[string][][]string{}
	for _, d := range destinations {
		if d.Answers == nil {
			continue
		}
		u, err := url.Parse(d.URL)
		if err != nil {
			continue
		}
		host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
		if ascii, err := idna.Lookup.ToASCII(host); err == nil {
			host = ascii
		}
		known[host] = d.Answers
	}
	return known
}

// ListenAndServe answers on a port of 127.0.0.1 until ctx ends, and returns its
// address.
func (s *NameServer) ListenAndServe(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	c, err := lc.ListenPacket(ctx, "udp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	context.AfterFunc(ctx, func() { _ = c.Close() })
	go func() {
		query := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(query)
			if err != nil {
				return
			}
			if answer := s.answer(query[:n]); answer != nil {
				_, _ = c.WriteTo(answer, from)
			}
		}
	}()
	return c.LocalAddr().String(), nil
}

// Resolver asks the server without a socket.
func (s *NameServer) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		client, server := net.Pipe()
		// Go's resolver would read on for 5 s after the lookup was given up.
		stop := context.AfterFunc(ctx, func() { _ = server.Close() })
		go func() { // ends with the lookup, whose end the test may not wait for
			defer stop()
			defer server.Close()
			s.serve(server)
		}()
		return client, nil
	}}
}

// serve answers in TCP's form.
func (s *NameServer) serve(c net.Conn) {
	var size [2]byte
	for {
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		if answer := s.answer(query); answer != nil {
			_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)) //nolint:gosec // an answer is some hundred bytes
		}
	}
}

// answer is nil for what is no question, and for names that get no answer.
func (s *NameServer) answer(query []byte) []byte {
	var labels []string
	at := headerSize
	for at < len(query) && query[at] != 0 {
		end := at + 1 + int(query[at])
		if end > len(query) {
			return nil
		}
		labels = append(labels, string(query[at+1:end]))
		at = end
	}
	if at+5 > len(query) {
		return nil
	}
	qtype := query[at+2]
	out := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[headerSize:at+5]...)
	name := strings.ToLower(strings.Join(labels, "."))
	if s.isLost(name, qtype) {
		return nil
	}
	addrs, ok := s.lookup(name, qtype)
	switch {
	case !ok:
		out[3] |= nameError
	case len(addrs) == 0:
		return nil
	}
	for _, a := range addrs {
		ip := netip.MustParseAddr(a)
		if qtype != typeA && qtype != typeAAAA || ip.Is4() != (qtype == typeA) {
			continue
		}
		out[7]++
		raw := ip.AsSlice()
		out = append(out, 0xc0, headerSize, 0, qtype, 0, 1, 0, 0, 0, 0, 0, byte(len(raw))) //nolint:gosec // 4 or 16
		out = append(out, raw...)
	}
	return out
}

// lookup is what the name is now. A lookup asks for A and AAAA at once, so each
// type has a count of its own.
func (s *NameServer) lookup(name string, qtype byte) ([]string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answers, ok := s.known[name]
	if !ok || len(answers) == 0 {
		return nil, ok
	}
	key := name + string(rune(qtype))
	n := s.lookups[key]
	s.lookups[key]++
	return answers[min(n, len(answers)-1)], true
}
