package crash

import (
	"context"
	"net/http"

	"github.com/jackc/pgx/v5"
)

// RefOf is refOf: the reference in the data that a receiver reads.
func RefOf(data []byte) string { return refOf(data) }

// DataOf is dataOf: the published data.
func DataOf(ref string) string { return dataOf(ref) }

// Outcome returns an endpoint's response status to the n-th request about a publication.
func (w *Webhook) Outcome(seed uint64, ref string, n int) int {
	status, _ := w.answer(seed, ref, n)
	return status
}

// Load returns the publications of the first n requests.
func Load(seed uint64, n int) []Publication {
	var list []Publication
	for i := range n {
		o := newOrder(seed, i)
		list = append(list, *o.publication(0, 1))
	}
	return list
}

// Webhooks returns the webhooks of a run without damage.
func Webhooks() []*Webhook { return webhooks(None) }

// CopyEvent makes a backlog by copying one event.
func CopyEvent(ctx context.Context, databaseURL string, template *Publication, size int) (last string, err error) {
	err = onConn(ctx, databaseURL, func(conn *pgx.Conn) error {
		last, err = copyEvent(ctx, conn, template, size)
		return err
	})
	return last, err
}

// ReadStore reads the store, except for the webhooks with the given ids.
func ReadStore(ctx context.Context, databaseURL string, but ...string) (*Store, error) {
	list := make([]*Webhook, 0, len(but))
	for _, id := range but {
		list = append(list, &Webhook{ID: id})
	}
	return readStore(ctx, databaseURL, list)
}

// Post is Send for tests.
func (b *Balancer) Post(ctx context.Context, path string) (int, []byte, error) {
	return b.Send(ctx, request{method: http.MethodPost, path: path})
}
