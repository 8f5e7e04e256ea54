-- +goose Up
set local lock_timeout = '2s';

-- An event type that all tenants share is a row of the tenant "default" (K6). Binaries of versions before take it for
-- that tenant's own, and refuse it to others.
alter table event_types
    add column shared boolean not null default false,
    add column deprecated boolean not null default false,
    add column group_name text check (length(group_name) between 1 and 64),
    add constraint event_types_shared_check
        check (not shared or tenant_id = '00000000-0000-7000-8000-000000000001');

-- The shared types, for the catalogue of every tenant.
create index event_types_shared on event_types (name) where shared;
-- Whether one of them has a schema: authenticating asks.
create index event_types_shared_with_schema on event_types (name) where shared and schema_hash is not null;
-- Who has a type of this name: putting a shared one asks.
create index event_types_named on event_types (name);

-- +goose Down
-- Shared types become the tenant's own.
drop index event_types_named;
drop index event_types_shared_with_schema;
drop index event_types_shared;
alter table event_types
    drop constraint event_types_shared_check,
    drop column group_name,
    drop column deprecated,
    drop column shared;
