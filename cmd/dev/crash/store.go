package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// Store is the content of PostgreSQL at the end. Ids are UUIDs.
type Store struct {
	Events     []Event
	Deliveries []Delivery
	Attempts   []Attempt
	Topics     []Topic
	// Keys are the idempotency keys and their events.
	Keys map[string]string
	// Outbox is the number of events in the outbox.
	Outbox int
}

// Event is a row of events.
type Event struct {
	ID, Type, Cache string
	Data            []byte
	Deliveries      int
	Sequence        int64
	CreatedAt       time.Time
}

// Ref returns the reference of the event's publication; empty if the data were changed.
func (e *Event) Ref() string {
	if e.Cache == "" {
		return refOf(e.Data)
	}
	var text string
	if json.Unmarshal(e.Data, &text) != nil {
		return ""
	}
	return refOf([]byte(text))
}

// Delivery is a row of deliveries.
type Delivery struct {
	ID, EventID, WebhookID string
	State                  hook.DeliveryState
	Attempts               int
	// Outstanding reports whether another attempt is to come.
	Outstanding bool
	UpdatedAt   time.Time
}

// Attempt is a row of attempts.
type Attempt struct {
	DeliveryID string
	Number     int
	StartedAt  time.Time
	Duration   time.Duration
	Status     int
	Class      hook.ErrorClass
}

// Topic is a row of topics.
type Topic struct {
	Cache, Name string
	Last        int64
}

// Listed is a delivery in the API's list.
type Listed struct {
	WebhookID   string
	Status      string
	Attempts    int
	Outstanding bool
}

// readStore reads the store over a connection of its own, except for the rows of the webhooks in but. It leaves out
// the padding of large events if the padding is complete.
func readStore(ctx context.Context, databaseURL string, but []*Webhook) (*Store, error) {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // no transaction is open
	s := &Store{Keys: map[string]string{}}
	ids := make([]string, 0, len(but))
	for _, w := range but {
		ids = append(ids, w.ID)
	}
	rows, _ := conn.Query(ctx, `
		select id::text, type, cache, deliveries, coalesce(sequence, 0) as sequence, created_at,
			case when type = $1 and substr(data, length(data) - length(padding) + 1) = padding
				then substr(data, 1, length(data) - length(padding)) || '"}' else data end as data
		from events, (select convert_to(repeat('x', $2) || '"}', 'UTF8') as padding offset 0) p
		where not test and type not like $3 || '%' order by id`, typeLarge, largePadding, typeBacklog)
	if s.Events, err = pgx.CollectRows(rows, pgx.RowToStructByName[Event]); err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	rows, _ = conn.Query(ctx, `
		select id::text, event_id::text, webhook_id::text, state, attempts, next_attempt_at is not null as outstanding, updated_at
		from deliveries where not test and webhook_id <> all($1::uuid[]) order by id`, ids)
	if s.Deliveries, err = pgx.CollectRows(rows, pgx.RowToStructByName[Delivery]); err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	rows, _ = conn.Query(ctx, `
		select delivery_id::text, number, started_at, duration_us * interval '1 microsecond' as duration,
			coalesce(status_code, 0) as status, error_class as class
		from attempts a where not exists (
			select from deliveries d where d.id = a.delivery_id and d.webhook_id = any($1::uuid[])) order by delivery_id, number`, ids)
	if s.Attempts, err = pgx.CollectRows(rows, pgx.RowToStructByName[Attempt]); err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	if err := s.readRest(ctx, conn); err != nil {
		return nil, err
	}
	return s, nil
}

// readRest reads the topics, the idempotency keys and the length of the outbox.
func (s *Store) readRest(ctx context.Context, conn *pgx.Conn) (err error) {
	rows, _ := conn.Query(ctx, `select cache, name, last_sequence as last from topics`)
	if s.Topics, err = pgx.CollectRows(rows, pgx.RowToStructByName[Topic]); err != nil {
		return fmt.Errorf("read topics: %w", err)
	}
	var key, event string
	rows, _ = conn.Query(ctx, `select key, event_id::text from idempotency_keys`)
	if _, err = pgx.ForEachRow(rows, []any{&key, &event}, func() error { s.Keys[key] = event; return nil }); err != nil {
		return fmt.Errorf("read idempotency keys: %w", err)
	}
	if err := conn.QueryRow(ctx, `select count(*) from outbox`).Scan(&s.Outbox); err != nil {
		return fmt.Errorf("read outbox: %w", err)
	}
	return nil
}

// outstanding returns the number of deliveries and events in the store that are not finished.
func outstanding(ctx context.Context, databaseURL string) (n int, err error) {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // no transaction is open
	err = conn.QueryRow(ctx, `select (select count(*) from deliveries where next_attempt_at is not null) + (select count(*) from outbox)`).Scan(&n)
	return n, err
}

// readLists reads every webhook's deliveries through the API, page by page (S12).
func readLists(ctx context.Context, b *Balancer, list []*Webhook) (map[string]Listed, error) {
	found := map[string]Listed{}
	for _, w := range list {
		webhook, err := hook.ParseWebhookID(w.ID) // it accepts UUIDs, too
		if err != nil {
			return nil, err
		}
		cursor := ""
		for {
			var page struct {
				Deliveries []struct {
					ID, Status    string
					Attempts      int
					NextAttemptAt *time.Time `json:"next_attempt_at"`
					Waiting       *struct{}
				}
				NextCursor string `json:"next_cursor"`
			}
			path := "/v1/webhooks/" + webhook.String() + "/deliveries?limit=100"
			if cursor != "" {
				path += "&cursor=" + cursor
			}
			if err := call(ctx, b, http.MethodGet, path, nil, &page); err != nil {
				return nil, err
			}
			for _, d := range page.Deliveries {
				id, err := hook.ParseDeliveryID(d.ID)
				if err != nil {
					return nil, err
				}
				found[id.UUID()] = Listed{WebhookID: w.ID, Status: d.Status, Attempts: d.Attempts, Outstanding: d.NextAttemptAt != nil || d.Waiting != nil}
			}
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
	}
	return found, nil
}
