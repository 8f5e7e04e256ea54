-- +goose Up
set local lock_timeout = '2s';

-- Sessions of the portal (P2): tokens of a tenant that are limited to capabilities and end. They are no API keys, so that
-- processes of the version before know none of them. Those processes delete tenants without a thought of sessions, so the
-- sessions go with their tenant.
create table portal_sessions (
    id           uuid primary key,
    tenant_id    uuid not null references tenants on delete cascade,
    hash         bytea not null unique check (length(hash) = 32),
    name         text not null default '',
    capabilities text[] not null check (cardinality(capabilities) > 0 and capabilities <@ array['view', 'test', 'retry', 'manage', 'secrets']),
    -- How the application looks; null is its own theme.
    theme        json,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz not null,
    revoked_at   timestamptz
);

create index portal_sessions_list on portal_sessions (tenant_id, id desc);
-- For counting and revoking those of a tenant that have not ended: of the rows that have, there may be many more.
create index portal_sessions_live on portal_sessions (tenant_id, expires_at) where revoked_at is null;
create index portal_sessions_expiry on portal_sessions (expires_at);

-- +goose Down
drop table portal_sessions;
