-- +goose Up
set local lock_timeout = '2s';

-- A tenant is one customer of a platform (K1). external_id is the platform's own id of it, null if it has none. Names need
-- not be unique any more: the constraint is the only thing that goes, so binaries of versions before go on working.
-- max_webhooks and publish_rate override the defaults of the process: null is the default, 0 is no limit.
alter table tenants
    drop constraint tenants_name_key,
    add column external_id text unique check (length(external_id) between 1 and 255 and external_id not like 'ten\_%'),
    add column metadata json not null default '{}',
    add column status text not null default 'active' check (status in ('active', 'suspended', 'deleting')),
    add column max_webhooks integer check (max_webhooks >= 0),
    add column publish_rate integer check (publish_rate >= 0),
    add column updated_at timestamptz not null default now();

update tenants set updated_at = created_at;
update tenants set external_id = 'default' where id = '00000000-0000-7000-8000-000000000001';

-- A platform key acts for every tenant, and belongs to none: its row is one of the tenant "default" (K3).
alter table api_keys
    drop constraint api_keys_scopes_check,
    add constraint api_keys_scopes_check
        check (cardinality(scopes) > 0 and scopes <@ array['admin', 'webhooks', 'publish', 'read', 'subscribe', 'platform']),
    add constraint api_keys_platform_check
        check (not 'platform' = any(scopes) or tenant_id = '00000000-0000-7000-8000-000000000001');

-- +goose Down
delete from api_keys where 'platform' = any(scopes); -- they would be keys of the tenant "default"
alter table api_keys
    drop constraint api_keys_platform_check,
    drop constraint api_keys_scopes_check,
    add constraint api_keys_scopes_check
        check (cardinality(scopes) > 0 and scopes <@ array['admin', 'webhooks', 'publish', 'read', 'subscribe']);
-- The first tenant of a name keeps it. The others get their ids as well.
update tenants t set name = left(name, 60) || ' ' || id
where exists (select from tenants o where o.name = t.name and o.id < t.id);
alter table tenants
    drop column external_id,
    drop column metadata,
    drop column status,
    drop column max_webhooks,
    drop column publish_rate,
    drop column updated_at,
    add constraint tenants_name_key unique (name);
