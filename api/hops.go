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

// A receiver that publishes an event for each event it gets, and gets that one too, would do so for ever. Grapnel's
// requests carry the chain of events that they come from (hook.HopsHeader). A publish that sends the chain along is
// refused if it is too long. If the URL of a webhook is a path of this API, the chain comes along by itself.

// hopsKey is the context key of a request's chain of events.
type hopsKey struct{}

// readHops reads the chain of events that a publish comes from.
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

// hopsWithout returns the chain of a publish without HopsHeader. Momento's and Commenda's receivers get no header that
// their systems don't send, so the first request of an event to one of them carries no chain. A publish with such a
// signature comes from a request of that kind, of an unknown event.
func hopsWithout(h http.Header) []hook.EventID {
	if h.Get(signing.MomentoHeader) != "" || h.Get(signing.CommendaHeader) != "" {
		return []hook.EventID{{}}
	}
	return nil
}

// setHops sets the chain of the request in a publication.
func setHops(ctx context.Context, p *hook.Publication) {
	p.Hops, _ = ctx.Value(hopsKey{}).([]hook.EventID)
}

// checkHops refuses a publish whose chain is too long.
func checkHops(p *hook.Publication) error {
	if len(p.Hops) <= hook.MaxHops {
		return nil
	}
	return &hook.Error{Kind: hook.KindLoop, Message: fmt.Sprintf(
		"the publish comes from a delivery of ours that comes from another, more than %d deep: a receiver publishes what it gets, and gets it again", hook.MaxHops)}
}
