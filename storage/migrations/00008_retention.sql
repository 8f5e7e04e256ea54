-- +goose Up
set local lock_timeout = '2s';

-- Rows of a day whose partition was not made in time lie in the default partition:
-- after days in which no process ran, or behind a clock that was wrong. So an event
-- and what belongs to it may lie in different kinds of partitions, and what is
-- dropped or deleted has to be looked at through the whole tables.

-- The tables partitioned by day, in the order in which every statement and transaction
-- that uses several of them locks them: recording looks for attempts first, publishing
-- writes deliveries before events, and an event's workflow is read after the event. In
-- another order, days that are made or dropped and what goes on beside it would wait
-- for each other.
create or replace function partitioned_tables() returns text[] language sql immutable as $$
    select array['attempts', 'deliveries', 'events', 'shared_workflows']
$$;

-- How long publishing may have to queue behind a lock of ours that is itself held up.
create or replace function partition_patience() returns text language sql immutable as $$ select '2s' $$;

-- move_to_partition makes a day's partition where the default partition has rows of
-- that day, and takes them along, unless there are so many that publishing would wait
-- for it; then it makes none, and returns false.
-- +goose StatementBegin
create or replace function move_to_partition(base text, name text, lo uuid, hi uuid) returns boolean language plpgsql as $$
declare
    key  text := (select a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
                  where i.indrelid = base::regclass and i.indisprimary);
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
-- +goose StatementEnd

-- +goose StatementBegin
create or replace function ensure_partitions(ahead integer) returns integer language plpgsql as $$
declare
    day  date;
    base text;
    name text;
    lo   uuid;
    hi   uuid;
    made integer := 0;
begin
    -- It locks the parents: better to fail and try later than to queue every
    -- publish behind a long query. One process is enough.
    perform set_config('lock_timeout', partition_patience(), true);
    if not pg_try_advisory_xact_lock(hashtext('grapnel.partitions')) then
        return 0;
    end if;
    foreach base in array partitioned_tables() loop
        for day in select d::date from generate_series((now() at time zone 'utc')::date - 1, (now() at time zone 'utc')::date + ahead, interval '1 day') d loop
            name := base || '_' || to_char(day, 'YYYYMMDD');
            continue when to_regclass(quote_ident(name)) is not null;
            perform lock_partitioned_tables();
            lo := uuid_floor(day::timestamp at time zone 'utc');
            hi := uuid_floor((day + 1)::timestamp at time zone 'utc');
            begin
                execute format('create table %I partition of %I for values from (%L) to (%L)', name, base, lo, hi);
                made := made + 1;
            exception when check_violation then
                if move_to_partition(base, name, lo, hi) then
                    made := made + 1;
                else
                    -- The other days must be made all the same.
                    raise warning '% of % stays in the default partition', base, day;
                end if;
            end;
        end loop;
    end loop;
    return made;
end
$$;
-- +goose StatementEnd

-- drop_partitions drops the days that ended before the given time, each whole: the
-- partitions of all tables together. A day with a delivery that is still outstanding
-- stays until that is over. What lies in the default partitions is deleted row by
-- row, by the same rule. What refers to events that are gone goes with them.
-- +goose StatementBegin
create or replace function drop_partitions(before timestamptz) returns integer language plpgsql as $$
declare
    day     date;
    base    text;
    dropped integer := 0;
begin
    perform set_config('lock_timeout', partition_patience(), true);
    if not pg_try_advisory_xact_lock(hashtext('grapnel.partitions')) then
        return 0;
    end if;
    for day in
        select distinct to_date(right(c.relname, 8), 'YYYYMMDD') as day
        from unnest(partitioned_tables()) t join pg_inherits i on i.inhparent = t::regclass join pg_class c on c.oid = i.inhrelid
        where c.relname ~ '_[0-9]{8}$'
        order by 1
    loop
        continue when (day + 1)::timestamp at time zone 'utc' > before;
        continue when exists (
            select from deliveries d
            where d.id >= uuid_floor(day::timestamp at time zone 'utc') and d.id < uuid_floor((day + 1)::timestamp at time zone 'utc')
                and d.next_attempt_at is not null and not d.test);
        perform lock_partitioned_tables();
        foreach base in array partitioned_tables() loop
            execute format('drop table if exists %I', base || '_' || to_char(day, 'YYYYMMDD'));
        end loop;
        dropped := dropped + 1;
    end loop;
    delete from attempts_default a where a.delivery_id < uuid_floor(before) and not exists (
        select from deliveries d where d.id = a.delivery_id and d.next_attempt_at is not null and not d.test);
    delete from events_default e where e.id < uuid_floor(before) and not exists (
        select from deliveries d
        where d.id >= (left(e.id::text, 18) || '-0000-000000000000')::uuid and d.id <= (left(e.id::text, 18) || '-ffff-ffffffffffff')::uuid
            and d.event_id = e.id and d.next_attempt_at is not null and not d.test);
    delete from deliveries_default d where d.id < uuid_floor(before) and (d.next_attempt_at is null or d.test);
    delete from shared_workflows_default s where s.event_id < uuid_floor(before) and not exists (
        select from events e where e.id = s.event_id);
    -- Its deliveries were canceled before it was started: nobody would take it out.
    delete from outbox o where o.event_id < uuid_floor(before) and not exists (
        select from events e where e.id = o.event_id);
    return dropped;
end
$$;
-- +goose StatementEnd

-- +goose Down
-- The functions stay: they work with the tables of 00005 as well.
select 1;
