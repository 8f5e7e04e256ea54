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

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/idna"
)

// NameServer answers questions about the names it knows, and says of all others that they do not exist. A known name
// without addresses never gets an answer.
type NameServer struct {
	mu      sync.Mutex
	known   map[string][][]string
	lookups map[question]int
	lost    map[string]bool
}

// question is a name and the type of a question about it.
type question struct {
	name string
	t    dnsmessage.Type
}

// LoseAAAA makes the server never answer questions about a name's IPv6 addresses.
func (s *NameServer) LoseAAAA(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost == nil {
		s.lost = map[string]bool{}
	}
	s.lost[name] = true
}

func (s *NameServer) isLost(name string, t dnsmessage.Type) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t == dnsmessage.TypeAAAA && s.lost[name]
}

// NewNameServer returns a server for the given names. Each name has the addresses of its first lookup, of its second
// one, and so on; the last entry is repeated.
func NewNameServer(known map[string][][]string) *NameServer {
	return &NameServer{known: known, lookups: map[question]int{}}
}

// Known returns the addresses of the hosts in the table, for NewNameServer.
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

// ListenAndServe answers on a UDP port of 127.0.0.1 until ctx ends, and returns its
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

// Resolver returns a resolver that asks the server without a socket.
func (s *NameServer) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		client, server := net.Pipe()
		// Close the connection with the lookup: Go's resolver would read from it for another 5 s.
		stop := context.AfterFunc(ctx, func() { _ = server.Close() })
		go func() { // it ends with the lookup, perhaps after the test
			defer stop()
			defer server.Close()
			s.serve(server)
		}()
		return client, nil
	}}
}

// serve answers in the format of TCP: each message is preceded by its length.
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

// answer returns the answer to a query; nil if the query is malformed, or its name gets no answer.
func (s *NameServer) answer(query []byte) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	if s.isLost(name, q.Type) {
		return nil
	}
	addrs, ok := s.lookup(name, q.Type)
	if ok && len(addrs) == 0 {
		return nil
	}
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, RecursionDesired: true, RecursionAvailable: true},
		Questions: m.Questions,
	}
	if !ok {
		reply.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range addrs {
		if body := resource(netip.MustParseAddr(a), q.Type); body != nil {
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: body})
		}
	}
	out, err := reply.Pack()
	if err != nil {
		return nil
	}
	return out
}

// resource returns the record of an address for a question of type t; nil if the address is of the other family.
func resource(ip netip.Addr, t dnsmessage.Type) dnsmessage.ResourceBody {
	switch {
	case t == dnsmessage.TypeA && ip.Is4():
		return &dnsmessage.AResource{A: ip.As4()}
	case t == dnsmessage.TypeAAAA && ip.Is6():
		return &dnsmessage.AAAAResource{AAAA: ip.As16()}
	}
	return nil
}

// lookup returns the current addresses of a name, and whether the name is known. A resolver asks for A and AAAA at
// once, so each type has a count of its own.
func (s *NameServer) lookup(name string, t dnsmessage.Type) ([]string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answers, ok := s.known[name]
	if !ok || len(answers) == 0 {
		return nil, ok
	}
	q := question{name, t}
	n := s.lookups[q]
	s.lookups[q]++
	return answers[min(n, len(answers)-1)], true
}
