-- +goose Up
set local lock_timeout = '2s';

-- Which of the previous secrets the headers with one value go on with (S6): those whose
-- time, in previous_until, is here too. Null is none. By their times and not by their
-- places, so that an older process, which knows only the other two columns, moves nothing
-- to another secret.
alter table webhooks add column single_value_until timestamptz[];

-- A request depends on it. A trigger beside webhook_changes, which makes the same version
-- of a change of both.
create trigger webhook_single_value before update on webhooks for each row
    when (old.single_value_until is distinct from new.single_value_until)
    execute function webhook_changes();

-- A key may be limited to the topics of some caches (null is no limit), and may be for
-- following topics alone.
alter table api_keys
    add column caches text[] check (cardinality(caches) > 0),
    drop constraint api_keys_scopes_check,
    add constraint api_keys_scopes_check
        check (cardinality(scopes) > 0 and scopes <@ array['admin', 'webhooks', 'publish', 'read', 'subscribe']);

-- In which form secrets are sealed (internal/secrets). Processes of versions before can only
-- open the first, which holds where there is no row. A new database has none of them:
-- nobody has made anything, nor an API key for it.
create table sealing (
    single boolean primary key default true check (single),
    form   smallint not null check (form in (1, 2))
);
insert into sealing (form)
select 2 from tenants
where id = '00000000-0000-7000-8000-000000000001' and created_at > now() - interval '1 hour'
    and not exists (select from api_keys) and not exists (select from webhooks) and not exists (select from signing_keys);

-- +goose Down
drop table sealing;
delete from api_keys where 'subscribe' = any(scopes) or caches is not null; -- they would be let in to more
alter table api_keys
    drop column caches,
    drop constraint api_keys_scopes_check,
    add constraint api_keys_scopes_check check (cardinality(scopes) > 0 and scopes <@ array['admin', 'webhooks', 'publish', 'read']);
drop trigger webhook_single_value on webhooks;
alter table webhooks drop column single_value_until;
