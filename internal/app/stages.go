package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// stages are the parts of a running process. A part is started after the parts that it needs. They
// stop in the reverse order, one after the other.
type stages struct {
	// failed ends when the process's context ends or a part fails.
	failed context.Context
	fail   context.CancelFunc
	list   []stage

	mu   sync.Mutex
	errs []error
}

type stage struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
}

func newStages(ctx context.Context) *stages {
	s := &stages{}
	s.failed, s.fail = context.WithCancel(ctx)
	return s
}

// start runs a part. The part's context ends when stop reaches the part, not with ctx.
func (s *stages) start(ctx context.Context, name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	st := stage{name: name, cancel: cancel, done: make(chan struct{})}
	s.list = append(s.list, st)
	go func() {
		defer close(st.done)
		if err := run(ctx); err != nil {
			s.add(err)
			s.fail()
		}
	}()
}

// stop stops all parts, the last one first, and waits for them until the
// deadline. It returns the errors of all parts.
func (s *stages) stop(deadline time.Time) error {
	s.fail()
	late := make(chan struct{})
	timer := time.AfterFunc(time.Until(deadline), func() { close(late) })
	defer timer.Stop()
	for i := len(s.list) - 1; i >= 0; i-- {
		st := s.list[i]
		st.cancel()
		select {
		case <-st.done:
		case <-late:
			select {
			case <-st.done:
			default:
				s.add(fmt.Errorf("%s did not stop in time", st.name))
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

func (s *stages) add(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}
