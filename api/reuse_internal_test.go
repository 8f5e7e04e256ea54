package api

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// ended are APIs of tests that have ended, by what decides their operations.
var ended = struct {
	sync.Mutex
	free map[operations][]*API
}{free: map[operations][]*API{}}

// operations are the settings with which an API's handler is made; all others are read when a request comes.
type operations struct {
	version string
	maxBody int
	timeout time.Duration
	origins string
}

// operationsOf returns the part of the dependencies that decides the operations.
func operationsOf(d *Deps) operations {
	return operations{d.Config.Version, d.Config.MaxBody, d.Config.Timeout, strings.Join(d.Config.CORSOrigins, " ")}
}

// NewForTest is New, but may return the API of a test that has ended, with nothing left of that test: to make all
// operations anew takes longer than most tests. The caller's server must have ended before the test's other clean-ups.
func NewForTest(t *testing.T, d Deps) (*API, error) {
	t.Helper()
	a := take(operationsOf(&d))
	if a == nil {
		var err error
		if a, err = New(d); err != nil {
			return nil, err
		}
	} else {
		a.begin(d)
	}
	t.Cleanup(func() {
		ended.Lock()
		defer ended.Unlock()
		of := operationsOf(&d)
		ended.free[of] = append(ended.free[of], a)
	})
	return a, nil
}

func take(of operations) *API {
	ended.Lock()
	defer ended.Unlock()
	list := ended.free[of]
	if len(list) == 0 {
		return nil
	}
	ended.free[of] = list[:len(list)-1]
	return list[len(list)-1]
}
