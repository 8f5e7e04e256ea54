package storage

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// A topic token is not stored: its text is its content, sealed, so that any process with the encryption keys can read
// it and nobody else can make one. It is valid as long as the API key that made it.

// tokenContent is the content of a token's text.
type tokenContent struct {
	Tenant []byte   `json:"t"`
	Key    []byte   `json:"k"`
	Cache  string   `json:"c"`
	Topics []string `json:"n"`
	Until  int64    `json:"u"` // Unix time, in seconds
}

// tokenPlace prevents tokens and stored secrets from being used for each other.
func tokenPlace() secrets.Place { return secrets.Place{Table: "topic tokens"} }

// CreateTopicToken returns the text of a validated token. Only the audit log has a row about it.
func (s *Store) CreateTopicToken(ctx context.Context, t hook.TopicToken) (hook.Secret, error) {
	content, err := json.Marshal(tokenContent{t.TenantID[:], t.Key[:], t.Cache, t.Topics, t.Until.Unix()})
	if err != nil {
		return "", fmt.Errorf("encode topic token: %w", err)
	}
	sealed := s.box.Seal(content, tokenPlace(), secrets.FormPlace)
	err = audit(ctx, s.pool, hook.AuditEntry{
		TenantID: t.TenantID, Action: hook.AuditTopicTokenCreated,
		Target: hook.AuditTarget{Kind: hook.TargetTopicToken, Name: t.Cache},
		Changes: hook.AuditChanges(nil, []hook.AuditMember{
			{Name: "cache_name", Value: t.Cache}, {Name: "topics", Value: t.Topics}, {Name: "expires_at", Value: t.Until.UTC()},
		}),
	})
	if err != nil {
		return "", mapErr(err)
	}
	return hook.Secret(hook.TopicTokenPrefix + base64.RawURLEncoding.EncodeToString(sealed)), nil
}

// TopicToken returns the rights of the token with this text, as a key. It is not found if it was not made here, has
// expired, the key that made it is no longer valid, or its tenant is gone or being deleted.
func (s *Store) TopicToken(ctx context.Context, text hook.Secret) (hook.APIKey, error) {
	t, err := s.openToken(text)
	if err != nil || !t.Until.After(time.Now()) {
		return hook.APIKey{}, &hook.Error{Kind: hook.KindNotFound, Message: "topic token not found", Err: err}
	}
	rows, _ := s.pool.Query(ctx, `
		select `+keyColumns+` from api_keys k join tenants t on t.id = $2 and t.status <> 'deleting'
		where k.id = $1 and (k.tenant_id = $2 or `+platformKey+`) and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())`, [16]byte(t.Key), [16]byte(t.TenantID))
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[keyRow])
	if err != nil {
		return hook.APIKey{}, notFound("topic token", fmt.Errorf("look up the key of a topic token: %w", err))
	}
	key := row.key()
	return t.KeyFor(&key), nil
}

var errToken = errors.New("not a topic token")

func (s *Store) openToken(text hook.Secret) (hook.TopicToken, error) {
	encoded, ok := strings.CutPrefix(text.Reveal(), hook.TopicTokenPrefix)
	if !ok {
		return hook.TopicToken{}, errToken
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(sealed) == 0 || secrets.Form(sealed[0]) != secrets.FormPlace {
		return hook.TopicToken{}, errToken
	}
	plain, err := s.box.Open(sealed, tokenPlace())
	if err != nil {
		return hook.TopicToken{}, errToken
	}
	var c tokenContent
	if err := json.Unmarshal(plain, &c); err != nil || len(c.Tenant) != 16 || len(c.Key) != 16 || len(c.Topics) == 0 {
		return hook.TopicToken{}, errToken
	}
	return hook.TopicToken{TenantID: [16]byte(c.Tenant), Key: [16]byte(c.Key), Cache: c.Cache, Topics: c.Topics, Until: time.Unix(c.Until, 0).UTC()}, nil
}
