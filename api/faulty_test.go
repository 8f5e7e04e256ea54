package api_test

import (
	"slices"
	"sync"
	"testing"

	"grapnel/api"
)

// faulty is a store one of whose calls fails. Its methods are generated (TestFaultyStoreIsGenerated): each one asks
// next for an error before it calls the store. Methods that return no error can't fail and are the embedded store's.
type faulty struct {
	api.Store
	mu     sync.Mutex
	calls  int
	at     int    // the number of the call that fails; 0 for none
	method string // the method whose calls fail; empty for none
	err    error
	// methods has the names of the methods that have failed.
	methods []string
}

// setupFaulty is setup with a store that can be made to fail.
func setupFaulty(t *testing.T) (*fixture, *faulty) {
	t.Helper()
	store := &faulty{}
	f := setup(t, func(d *api.Deps) {
		store.Store = d.Store
		d.Store = store
	})
	return f, store
}

// arm makes the call with a number fail, counted from now; 0 makes none fail. Authentication, which comes before
// everything else, is not counted: failMethod makes that fail.
func (s *faulty) arm(at int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.at, s.method, s.err = 0, at, "", err
}

// failMethod makes every call of a method fail, until arm is called.
func (s *faulty) failMethod(method string, err error) {
	s.arm(0, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.method = method
}

// failed reports whether the call that fails has been made.
func (s *faulty) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at > 0 && s.calls >= s.at
}

// failedMethods returns the names of the methods that have failed, in order.
func (s *faulty) failedMethods() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(s.methods)))
}

// next returns the error of a call of a method: nil, unless this call is to fail.
func (s *faulty) next(method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	fails := s.method == method
	if method != "Authenticate" && method != "AuthenticateSession" && method != "TopicToken" {
		s.calls++
		fails = fails || s.calls == s.at
	}
	if !fails {
		return nil
	}
	s.methods = append(s.methods, method)
	return s.err
}
