package crash

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// occupying is the number of publishers of occupy.
const occupying = 8

// occupy publishes through one API until its process has first attempts in flight, of events and of messages, and
// others wait for them: the endpoint of the events answers slowly, and has only so many requests in flight.
func (r *run) occupy(ctx context.Context, api string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, notEnded, errors.New("no first attempts had to wait"))
	defer cancel()
	via := r.balancer.Only(api)
	w := r.webhooks[slices.IndexFunc(r.webhooks, func(w *Webhook) bool { return w.Name == owned })]
	busy := func() (inFlight, waiting int) {
		return r.receiver.InFlight(w), r.publisher.acceptedOf(typeOwned) - r.receiver.Got(w)
	}
	var group sync.WaitGroup
	for i := range occupying {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if inFlight, waiting := busy(); inFlight >= underWay && waiting >= underWay {
					return
				}
				r.publisher.publish(ctx, via, order{kind: batch, n: n, typ: typeOwned, prefix: fmt.Sprintf("%s%d.", ownedRef, i)})
				r.publisher.publish(ctx, via, order{kind: momento, n: n, typ: chatter, prefix: fmt.Sprintf("%s%d.%s.", ownedRef, i, chatter)})
			}
		})
	}
	group.Wait()
	inFlight, waiting := busy()
	r.Progress("%d requests in flight to %s, and %d first attempts wait", inFlight, w.Name, waiting)
	return context.Cause(ctx)
}

// acceptedOf returns the number of accepted events of a type.
func (p *Publisher) acceptedOf(eventType string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, publication := range p.list {
		if publication.Accepted && publication.Type == eventType {
			n++
		}
	}
	return n
}
