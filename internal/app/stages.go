package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// stages are the parts of a running process. They are started in the order of
// what needs what and stopped in the reverse order, each after the one before it
// has ended.
type stages struct {
	// failed ends when the context does, or a part fails.
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

// start runs a part; its context ends when it is its turn to stop, not with ctx.
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
// deadline. It returns what went wrong in any of them.
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
