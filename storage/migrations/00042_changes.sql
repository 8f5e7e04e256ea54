-- +goose Up
set local lock_timeout = '2s';

-- What has changed in the last seconds besides events and attempts (P7): a row per changed row of the tables below. A
-- process that has readers looks here once per second; maintenance deletes the rows after some seconds. It is a hint and no
-- record: a crash of PostgreSQL empties it. tenant_id is zero for what all tenants share.
create unlogged table changes (
    tenant_id  uuid not null,
    webhook_id uuid,
    at         timestamptz not null default clock_timestamp(),
    tx         xid8 not null default pg_current_xact_id()
);

-- +goose StatementBegin
create function note_change() returns trigger language plpgsql as $$
declare
    r record;
begin
    r := coalesce(new, old);
    case tg_table_name
        when 'webhooks' then
            insert into changes (tenant_id, webhook_id) values (r.tenant_id, r.id);
        when 'tenants' then
            insert into changes (tenant_id) values (r.id);
        when 'event_types' then
            insert into changes (tenant_id) values (case when r.shared then '00000000-0000-0000-0000-000000000000' else r.tenant_id end);
        else
            insert into changes (tenant_id) values (r.tenant_id);
    end case;
    return null;
end $$;
-- +goose StatementEnd

create trigger note_change after insert or update or delete on webhooks for each row execute function note_change();
create trigger note_change after insert or update or delete on replays for each row execute function note_change();
create trigger note_change after insert or update or delete on event_types for each row execute function note_change();
create trigger note_change after insert or update or delete on tenants for each row execute function note_change();
create trigger note_change after insert or update or delete on api_keys for each row execute function note_change();

-- +goose Down
drop trigger note_change on api_keys;
drop trigger note_change on tenants;
drop trigger note_change on event_types;
drop trigger note_change on replays;
drop trigger note_change on webhooks;
drop function note_change();
drop table changes;
