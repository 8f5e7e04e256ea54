-- +goose Up
set local lock_timeout = '2s';

-- Secrets that were rotated out and sign beside the current one until their time
-- (S6), newest first, each sealed like webhooks.secret. What has expired is removed by
-- the next change of the webhook, or by housekeeping.
alter table webhooks add column previous_secrets bytea[] not null default '{}';
alter table webhooks add column previous_until timestamptz[] not null default '{}';
alter table webhooks add constraint webhooks_previous
    check (cardinality(previous_secrets) = cardinality(previous_until));

-- For housekeeping, which looks for what has expired.
create index webhooks_in_overlap on webhooks (id) where cardinality(previous_until) > 0;

-- Which Standard Webhooks signatures a webhook's requests carry: v1 with its secret,
-- v1a with its tenant's key. It says nothing for other profiles than standard.
alter table webhooks add column signature_schemes text[] not null default '{v1}'
    check (cardinality(signature_schemes) > 0 and signature_schemes <@ array['v1', 'v1a']);

-- The Ed25519 keys of v1a. A tenant has its own, so that its receivers can tell its
-- events from another tenant's, and has one current key at most; those that were rotated
-- out sign on beside it until they expire.
create table signing_keys (
    public_key  bytea primary key check (length(public_key) = 32),
    tenant_id   uuid not null references tenants,
    -- sealed by internal/secrets with the tenant's id as additional data
    private_key bytea not null,
    created_at  timestamptz not null default now(),
    -- null for the current one
    expires_at  timestamptz
);

create unique index signing_keys_current on signing_keys (tenant_id) where expires_at is null;
create index signing_keys_of_tenant on signing_keys (tenant_id);

-- +goose Down
drop table signing_keys;
alter table webhooks drop column signature_schemes;
drop index webhooks_in_overlap;
alter table webhooks drop constraint webhooks_previous;
alter table webhooks drop column previous_until;
alter table webhooks drop column previous_secrets;
