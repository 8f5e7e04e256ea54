package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// traced returns a middleware that records the span of an operation's requests.
func (a *API) traced(op *operation) func(huma.Context, func(huma.Context)) {
	id, method, route := op.id, op.method, op.path
	return func(ctx huma.Context, next func(huma.Context)) {
		if a.Tracer == nil {
			next(ctx)
			return
		}
		within, end := a.Tracer.Request(ctx.Context(), ctx.Header("traceparent"), method, route, id)
		defer func() {
			status := ctx.Status()
			if status == 0 { // a panic before the answer
				status = http.StatusInternalServerError
			}
			end(status)
		}()
		next(huma.WithContext(ctx, within))
	}
}
