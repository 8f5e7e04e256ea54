package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

type attemptRow struct {
	DeliveryID      [16]byte
	Number          int
	Manual          bool
	URL             string
	StartedAt       time.Time
	DurationUs      int64
	DNSUs           int64 `db:"dns_us"`
	ConnectUs       int64
	TLSUs           int64 `db:"tls_us"`
	FirstByteUs     int64
	RemoteAddr      string
	RequestHeaders  []byte
	StatusCode      *int
	ResponseHeaders []byte
	ResponseBody    []byte
	// Null in rows from binaries that did not know these columns.
	ResponseTruncated *bool
	ResponseLength    *int64
	ErrorClass        string
	Error             string
}

// maxAttemptBytes bounds the log of a delivery, which grows with each retry by hand.
const maxAttemptBytes = 4 << 20

// Attempts reads the log of one delivery, oldest first (S13). If the log is too large, it reads the last attempts
// only, at least one.
func (s *Store) Attempts(ctx context.Context, id hook.DeliveryID) ([]hook.Attempt, error) {
	rows, _ := s.pool.Query(ctx, `
		select delivery_id, number, manual, url, started_at, duration_us, dns_us, connect_us, tls_us, first_byte_us, remote_addr,
			request_headers, status_code, response_headers, response_body, response_truncated, response_length, error_class, error
		from `+lastAttempts+` order by number`, [16]byte(id), maxAttemptBytes)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[attemptRow])
	if err != nil {
		return nil, mapErr(fmt.Errorf("list attempts of delivery %s: %w", id, err))
	}
	list := make([]hook.Attempt, 0, len(found))
	for i := range found {
		a, err := found[i].attempt()
		if err != nil {
			return nil, fmt.Errorf("attempt %d of delivery %s: %w", found[i].Number, id, err)
		}
		list = append(list, a)
	}
	return list, nil
}

// lastAttempts selects the attempts to show. Bodies that are not text are shown in base64, hence the 4/3.
const lastAttempts = `(
			select *, row_number() over newest as place, sum(octet_length(request_headers::text) + 1024
				+ coalesce(octet_length(response_headers::text), 0) + coalesce(octet_length(response_body), 0) * 4 / 3) over newest as bytes
			from attempts where delivery_id = $1 window newest as (order by number desc)
		) a where place = 1 or bytes <= $2`

func (r *attemptRow) attempt() (hook.Attempt, error) {
	us := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	a := hook.Attempt{
		DeliveryID: r.DeliveryID, Number: r.Number, Manual: r.Manual, URL: r.URL, StartedAt: r.StartedAt,
		Duration:   us(r.DurationUs),
		Timings:    hook.Timings{DNS: us(r.DNSUs), Connect: us(r.ConnectUs), TLS: us(r.TLSUs), FirstByte: us(r.FirstByteUs)},
		RemoteAddr: r.RemoteAddr, ResponseBody: r.ResponseBody, ResponseLength: r.ResponseLength,
		// A body of the greatest length was most likely truncated.
		ResponseTruncated: len(r.ResponseBody) >= hook.MaxResponseBody,
		Class:             hook.ErrorClass(r.ErrorClass), Error: r.Error,
	}
	if r.ResponseTruncated != nil {
		a.ResponseTruncated = *r.ResponseTruncated
	}
	if r.StatusCode != nil {
		a.StatusCode = *r.StatusCode
	}
	if err := json.Unmarshal(r.RequestHeaders, &a.RequestHeaders); err != nil {
		return a, fmt.Errorf("decode request headers: %w", err)
	}
	if r.ResponseHeaders != nil {
		if err := json.Unmarshal(r.ResponseHeaders, &a.ResponseHeaders); err != nil {
			return a, fmt.Errorf("decode response headers: %w", err)
		}
	}
	return a, nil
}

// storableText makes a receiver's text storable: valid UTF-8 without NUL. A text that PostgreSQL refuses would fail
// everything that is recorded with it.
func storableText(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}
