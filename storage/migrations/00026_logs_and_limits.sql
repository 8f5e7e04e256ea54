-- +goose Up
set local lock_timeout = '2s';

-- Webhooks that were deleted, so that their logs can be read for as long as deliveries are
-- kept: whose they were, and by which name.
create table deleted_webhooks (
    id         uuid primary key,
    tenant_id  uuid not null,
    profile    text not null,
    cache      text not null,
    name       text not null,
    deleted_at timestamptz not null
);

create index deleted_webhooks_named on deleted_webhooks (tenant_id, cache, name, deleted_at desc) where profile = 'momento';
create index deleted_webhooks_age on deleted_webhooks (deleted_at);

-- A trigger, so that no process of an older version leaves it out.
-- +goose StatementBegin
create function webhook_goes() returns trigger language plpgsql as $$
begin
    insert into deleted_webhooks (id, tenant_id, profile, cache, name, deleted_at)
    values (old.id, old.tenant_id, old.profile, old.cache, old.name, now())
    on conflict (id) do nothing;
    return null;
end
$$;
-- +goose StatementEnd

create trigger webhook_goes after delete on webhooks for each row execute function webhook_goes();

-- refuse_deliveries ends the statement in which an event would have more deliveries than
-- one request may make: nothing of it is stored.
-- +goose StatementBegin
create function refuse_deliveries(most integer) returns integer language plpgsql as $$
begin
    raise exception using errcode = 'GR001', message = 'too many deliveries', detail = most::text;
end
$$;
-- +goose StatementEnd

-- +goose Down
drop function refuse_deliveries;
drop trigger webhook_goes on webhooks;
drop function webhook_goes;
drop table deleted_webhooks;
