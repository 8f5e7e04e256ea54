package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"grapnel/internal/hook"
	"grapnel/internal/signing"
)

// A receiver that publishes because of what it got, and so gets it again, would go round
// for ever. Our requests carry the events that they come from (hook.HopsHeader). A
// publish that brings them along is refused when there are too many; a webhook whose URL
// is a path of this API's brings them by itself.

// hopsKey is the key of a request's chain in its context.
type hopsKey struct{}

// readHops reads the chain that a publish comes from.
func (a *API) readHops(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	values := r.Header.Values(hook.HopsHeader)
	hops, err := hook.ParseHops(values)
	if len(values) == 0 {
		hops = hopsWithout(r.Header)
	}
	if len(hops) == 0 && err == nil {
		next(ctx)
		return
	}
	if err != nil {
		a.refuse(ctx, hook.Unprocessable("header."+hook.HopsHeader, "%s", err))
		return
	}
	if r := refusalOf(ctx.Context()); r != nil {
		r.hops = hops
	}
	next(huma.WithValue(ctx, hopsKey{}, hops))
}

// hopsWithout is the chain of a request without HopsHeader. Momento's and Commenda's receivers get no
// header that their systems don't send, so an event's first request to one of them carries no chain. A
// publish that has their signature is such a request all the same, of an event that is not known.
func hopsWithout(h http.Header) []hook.EventID {
	if h.Get(signing.MomentoHeader) != "" || h.Get(signing.CommendaHeader) != "" {
		return []hook.EventID{{}}
	}
	return nil
}

// setHops gives a publication its request's chain.
func setHops(ctx context.Context, p *hook.Publication) {
	p.Hops, _ = ctx.Value(hopsKey{}).([]hook.EventID)
}

// checkHops refuses what comes from our own deliveries too deep.
func checkHops(p *hook.Publication) error {
	if len(p.Hops) <= hook.MaxHops {
		return nil
	}
	return &hook.Error{Kind: hook.KindLoop, Message: fmt.Sprintf(
		"the publish comes from a delivery of ours that comes from another, more than %d deep: a receiver publishes what it gets, and gets it again", hook.MaxHops)}
}
