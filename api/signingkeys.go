package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/signing"
)

type signingKeyStore interface {
	// SigningKeys returns the keys that sign for the tenant now, the current one first.
	SigningKeys(ctx context.Context, tenant hook.TenantID) ([]hook.SigningKey, error)
}

// SigningKey is a public key as a member of a JWK set (RFC 7517, RFC 8037) and as Standard Webhooks writes it.
type SigningKey struct {
	Type      string     `json:"kty" enum:"OKP" doc:"The key's type." example:"OKP"`
	Curve     string     `json:"crv" enum:"Ed25519" doc:"The key's curve." example:"Ed25519"`
	Algorithm string     `json:"alg" enum:"EdDSA" doc:"The algorithm of its signatures." example:"EdDSA"`
	Use       string     `json:"use" enum:"sig" doc:"What it is for." example:"sig"`
	ID        string     `json:"kid" doc:"The key's id: its thumbprint (RFC 7638)." example:"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"`
	X         string     `json:"x" doc:"The public key, in base64url." example:"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`
	Text      string     `json:"whpk" doc:"The public key as Standard Webhooks writes it." example:"whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When the key stops signing, because a newer one replaces it; absent for the newest." example:"2026-01-16T12:00:00Z"`
}

type signingKeySet struct {
	Keys []SigningKey `json:"keys" doc:"All keys that sign now, newest first. Each request carries a signature by each of them."`
}

type getSigningKeysInput struct {
	Tenant string `query:"tenant" maxLength:"64" doc:"The tenant's id, as in public_keys_path of its webhooks. Default: the tenant default." example:"ten_01kab1s6rzfkqbzry2kztmfpx1"`
}

type getSigningKeysOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         signingKeySet
}

const (
	signingKeysPath = "/.well-known/webhook-keys"
	// keysCache is far shorter than any sensible overlap of two keys.
	keysCache = "public, max-age=300"
)

func (a *API) registerSigningKeys() {
	register(a, operation{
		id: "get-signing-keys", portal: portalView, method: http.MethodGet, path: signingKeysPath, tag: tagStandard, public: true,
		summary:     "Get the public keys that verify v1a signatures",
		description: "A JWK set of the Ed25519 keys that sign the requests of webhooks with the signature scheme v1a. It needs no API key. Each tenant has its own keys, so that no tenant can pass its events off as another's: trust only the keys of the tenant whose events you receive. A replaced key is listed as long as it signs.",
	}, a.getSigningKeys)
}

func (a *API) getSigningKeys(ctx context.Context, in *getSigningKeysInput) (*getSigningKeysOutput, error) {
	tenant := hook.DefaultTenant()
	if in.Tenant != "" {
		var err error
		if tenant, err = hook.ParseTenantID(in.Tenant); err != nil {
			return nil, hook.Unprocessable("query.tenant", "is not a tenant's id")
		}
	}
	keys, err := a.Store.SigningKeys(ctx, tenant)
	if err != nil {
		return nil, err
	}
	out := &getSigningKeysOutput{CacheControl: keysCache}
	if len(keys) == 0 {
		out.CacheControl = "no-cache" // the first key may be made at any moment
	}
	out.Body.Keys = make([]SigningKey, 0, len(keys))
	for _, k := range keys {
		out.Body.Keys = append(out.Body.Keys, viewSigningKey(k))
	}
	return out, nil
}

func viewSigningKey(k hook.SigningKey) SigningKey {
	v := SigningKey{
		Type: "OKP", Curve: "Ed25519", Algorithm: "EdDSA", Use: "sig",
		ID: signing.KeyID(k.Public), X: signing.KeyX(k.Public), Text: signing.PublicText(k.Public),
	}
	if k.ExpiresAt != nil {
		at := seconds(*k.ExpiresAt)
		v.ExpiresAt = &at
	}
	return v
}

// publicKeysPath returns the path of a tenant's public keys.
func publicKeysPath(tenant hook.TenantID) string {
	if tenant == hook.DefaultTenant() {
		return signingKeysPath
	}
	return signingKeysPath + "?tenant=" + url.QueryEscape(tenant.String())
}

// showSchemes sets the members about Standard Webhooks signatures in a webhook's view.
func (v *Webhook) showSchemes(w *hook.Webhook) {
	if w.Profile != hook.ProfileStandard {
		return
	}
	for _, s := range w.Schemes {
		if s != hook.SchemeV1 || signsV1(w) {
			v.Schemes = append(v.Schemes, string(s))
		}
	}
	if w.Signs(hook.SchemeV1a) {
		v.PublicKeysPath = publicKeysPath(w.TenantID)
	}
}

// setSchemes sets the signature schemes if any are given; only standard webhooks may have them.
func setSchemes(w *hook.Webhook, given []string) (wrong []hook.Violation) {
	if given == nil {
		return nil
	}
	if w.Profile != hook.ProfileStandard {
		return []hook.Violation{{Location: "body.signature_schemes", Message: "are of the standard profile only: " + string(w.Profile) + " has a signature of its own"}}
	}
	w.Schemes = make([]hook.Scheme, 0, len(given))
	for _, s := range given {
		w.Schemes = append(w.Schemes, hook.Scheme(s))
	}
	return nil
}
