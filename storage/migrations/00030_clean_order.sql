-- +goose Up
set local lock_timeout = '2s';

-- clean_page looked at the rows of a default partition before it locked the tables through
-- which it looks at them: for events, and for what refers to events, that was against the order in
-- which drop_day locks them, and the two could wait for each other.
-- +goose StatementBegin
create or replace function clean_page(base text, after uuid, before timestamptz, most integer, out last uuid, out deleted integer) language plpgsql as $$
declare
    key  text := day_key(base);
    name text := case base when 'outbox' then base else base || '_default' end;
    done text;
begin
    deleted := 0;
    perform set_config('lock_timeout', partition_patience(), true);
    if not pg_try_advisory_xact_lock(hashtext('grapnel.defaults')) then
        return;
    end if;
    -- What is looked at through other tables is locked after these, in the order of
    -- partitioned_tables: a day is dropped under locks in that order.
    case base
    when 'events' then
        -- No replay makes a delivery of an event between the look and the delete.
        lock table replays in exclusive mode;
        lock table deliveries in access share mode;
    when 'shared_workflows', 'outbox' then
        lock table events in access share mode;
    else
    end case;
    execute format('select k from (select %I as k from %I where %I > $1 and %I < $2 order by %I limit $3) p order by k desc limit 1', key, name, key, key, key)
        into last using after, uuid_floor(before), most;
    if last is null then
        return;
    end if;
    -- What is looked at beside the rows is bounded by their ids, too: so both are read once.
    case base
    when 'attempts' then
        done := 'not exists (
            select from deliveries d
            where d.id > $1 and d.id <= $2 and d.id = r.delivery_id and d.next_attempt_at is not null and not d.test)';
    when 'deliveries' then
        done := '(r.next_attempt_at is null or r.test)';
    when 'events' then
        done := 'not exists (
            select from deliveries d
            where d.id >= (left($1::text, 18) || ''-0000-000000000000'')::uuid and d.id <= (left($2::text, 18) || ''-ffff-ffffffffffff'')::uuid
                and d.event_id = r.id and d.next_attempt_at is not null and not d.test)';
    else
        done := 'not exists (select from events e where e.id > $1 and e.id <= $2 and e.id = r.event_id)';
    end case;
    execute format('delete from %I r where r.%I > $1 and r.%I <= $2 and %s', name, key, key, done) using after, last;
    get diagnostics deleted = row_count;
end
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
create or replace function clean_page(base text, after uuid, before timestamptz, most integer, out last uuid, out deleted integer) language plpgsql as $$
declare
    key  text := day_key(base);
    name text := case base when 'outbox' then base else base || '_default' end;
    done text;
begin
    deleted := 0;
    perform set_config('lock_timeout', partition_patience(), true);
    if not pg_try_advisory_xact_lock(hashtext('grapnel.defaults')) then
        return;
    end if;
    execute format('select k from (select %I as k from %I where %I > $1 and %I < $2 order by %I limit $3) p order by k desc limit 1', key, name, key, key, key)
        into last using after, uuid_floor(before), most;
    if last is null then
        return;
    end if;
    -- What is looked at beside the rows is bounded by their ids, too: so both are read once.
    case base
    when 'attempts' then
        done := 'not exists (
            select from deliveries d
            where d.id > $1 and d.id <= $2 and d.id = r.delivery_id and d.next_attempt_at is not null and not d.test)';
    when 'deliveries' then
        done := '(r.next_attempt_at is null or r.test)';
    when 'events' then
        -- No replay makes a delivery of an event between the look and the delete.
        lock table replays in exclusive mode;
        lock table deliveries in access share mode;
        done := 'not exists (
            select from deliveries d
            where d.id >= (left($1::text, 18) || ''-0000-000000000000'')::uuid and d.id <= (left($2::text, 18) || ''-ffff-ffffffffffff'')::uuid
                and d.event_id = r.id and d.next_attempt_at is not null and not d.test)';
    else
        lock table events in access share mode;
        done := 'not exists (select from events e where e.id > $1 and e.id <= $2 and e.id = r.event_id)';
    end case;
    execute format('delete from %I r where r.%I > $1 and r.%I <= $2 and %s', name, key, key, done) using after, last;
    get diagnostics deleted = row_count;
end
$$;
-- +goose StatementEnd
