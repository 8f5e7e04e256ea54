package enginetest_test

import (
	"context"
	"time"

	"go.temporal.io/api/serviceerror"

	"grapnel/internal/contract"
)

// startFate is what becomes of the starts of deliveries.
type startFate string

const (
	startsFine    startFate = "fine"
	startsRefused startFate = "refused"
	answersLost   startFate = "answers lost"
	startsLate    startFate = "late"
)

// lateBy is how late a late start is.
const lateBy = 3 * time.Second

func (t *server) startsFine() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.starts == startsFine
}

// fate returns what becomes of a start with that input. The error is that of a refused one.
func (t *server) fate(ctx context.Context, input any) (startFate, error) {
	t.mu.Lock()
	fate := t.starts
	t.mu.Unlock()
	if _, ok := input.(contract.DeliverInput); !ok {
		return startsFine, nil
	}
	switch fate {
	case startsRefused:
		return fate, serviceerror.NewInvalidArgument("refused")
	case startsLate:
		select {
		case <-time.After(lateBy):
		case <-ctx.Done():
			return fate, ctx.Err()
		}
	case startsFine, answersLost:
	}
	return fate, nil
}
