set local lock_timeout = '2s';

-- It is run before the index of its number is made (indexes.go), and again if that was interrupted: so everything
-- here can be repeated.

-- An event's references, as its publisher gave them, for those who read the event. Null: none.
alter table events add column if not exists refs text[];

-- The same turned around, for finding events by a reference. A table of its own: an event without references
-- writes nothing to it. The key is the index that finds them, newest first, and there is no other.
create table if not exists event_references (
    tenant_id uuid not null,
    reference text not null,
    event_id  uuid not null,
    primary key (tenant_id, reference, event_id)
) partition by range (event_id);

create table if not exists event_references_default partition of event_references default;

-- The default partition is cleaned in the order of events.
create index if not exists event_references_default_event on event_references_default (event_id);

-- The tables partitioned by day, in the order in which every statement locks them (00008): publishing writes references
-- after events.
create or replace function partitioned_tables() returns text[] language sql immutable as $$
    select array['attempts', 'deliveries', 'events', 'shared_workflows', 'event_references']
$$;

create or replace function day_key(base text) returns text language sql immutable strict as $$
    select case base when 'attempts' then 'delivery_id' when 'shared_workflows' then 'event_id' when 'outbox' then 'event_id'
        when 'event_references' then 'event_id' else 'id' end
$$;

-- As in 00008, but by day_key: the key of event_references does not begin with what it is partitioned by.
create or replace function move_to_partition(base text, name text, lo uuid, hi uuid) returns boolean language plpgsql as $$
declare
    key  text := day_key(base);
    many boolean;
begin
    execute format('select count(*) > 50000 from (select from %I where %I >= $1 and %I < $2 limit 50001) d', base || '_default', key, key)
        into many using lo, hi;
    if many then
        return false;
    end if;
    execute format('create temporary table moving on commit drop as select * from %I where %I >= %L and %I < %L', base, key, lo, key, hi);
    execute format('delete from %I where %I >= $1 and %I < $2', base || '_default', key, key) using lo, hi;
    execute format('create table %I partition of %I for values from (%L) to (%L)', name, base, lo, hi);
    execute format('insert into %I select * from moving', base);
    drop table moving;
    return true;
end
$$;

-- As in 00030, with the references.
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
    when 'shared_workflows', 'outbox', 'event_references' then
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
