-- +goose Up
set local lock_timeout = '2s';

-- What is outstanding of a day past the retention moves to the default partitions, and
-- the day is dropped. So one delivery that waits for long keeps no day of everybody's.

-- Days past the retention that stay, because more of them is outstanding than is moved.
create table if not exists kept_days (
    day     date primary key,
    -- When a process last found it so.
    seen_at timestamptz not null
);

-- How many rows of a table are moved under a lock that publishing waits for.
create or replace function most_rows_moved() returns integer language sql immutable as $$ select 50000 $$;

-- How many bytes of payloads are.
create or replace function most_bytes_moved() returns bigint language sql immutable as $$ select 268435456::bigint $$;

create or replace function day_floor(day date) returns uuid language sql immutable strict as $$
    select uuid_floor(day::timestamp at time zone 'utc')
$$;

-- The column by which a table is partitioned, or by which its rows belong to a day.
create or replace function day_key(base text) returns text language sql immutable strict as $$
    select case base when 'attempts' then 'delivery_id' when 'shared_workflows' then 'event_id' when 'outbox' then 'event_id' else 'id' end
$$;

create or replace function day_name(base text, day date) returns text language sql immutable strict as $$
    select base || '_' || to_char(day, 'YYYYMMDD')
$$;

-- late_rows counts the rows of a range in a table's default partition, up to one more
-- than is moved.
-- +goose StatementBegin
create or replace function late_rows(base text, lo uuid, hi uuid) returns integer language plpgsql as $$
declare n integer;
begin
    execute format('select count(*) from (select from %I where %I >= $1 and %I < $2 limit $3) d', base || '_default', day_key(base), day_key(base))
        into n using lo, hi, most_rows_moved() + 1;
    return n;
end
$$;
-- +goose StatementEnd

-- make_day makes the missing partitions of one day, the first that has some: from
-- yesterday to the given number of days ahead. It returns how many it made. What of them
-- can't be made for the rows in the default partition is found out before the lock.
-- +goose StatementBegin
create or replace function make_day(ahead integer) returns integer language plpgsql as $$
declare
    today date := (now() at time zone 'utc')::date;
    base  text;
    name  text;
    lo    uuid;
    hi    uuid;
    made  integer := 0;
begin
    -- It locks the parents: better to fail and try later than to queue every
    -- publish behind a long query. One process is enough.
    perform set_config('lock_timeout', partition_patience(), true);
    if not pg_try_advisory_xact_lock(hashtext('grapnel.partitions')) then
        return 0;
    end if;
    for day in -1 .. ahead loop
        lo := day_floor(today + day);
        hi := day_floor(today + day + 1);
        foreach base in array partitioned_tables() loop
            name := day_name(base, today + day);
            continue when to_regclass(quote_ident(name)) is not null;
            continue when late_rows(base, lo, hi) > most_rows_moved();
            perform lock_partitioned_tables();
            if late_rows(base, lo, hi) = 0 then
                execute format('create table %I partition of %I for values from (%L) to (%L)', name, base, lo, hi);
                made := made + 1;
            elsif move_to_partition(base, name, lo, hi) then
                made := made + 1;
            end if;
        end loop;
        exit when made > 0;
    end loop;
    return made;
end
$$;
-- +goose StatementEnd

-- As older binaries call it: all days in one transaction.
-- +goose StatementBegin
create or replace function ensure_partitions(ahead integer) returns integer language plpgsql as $$
declare
    made  integer;
    total integer := 0;
begin
    loop
        made := make_day(ahead);
        exit when made = 0;
        total := total + made;
    end loop;
    return total;
end
$$;
-- +goose StatementEnd

-- outstanding_of are the deliveries of a day with an attempt to come, wherever they lie,
-- up to one more than is moved, and their events. It says whether they may be moved.
-- +goose StatementBegin
create or replace function outstanding_of(day date, out ids uuid[], out events uuid[], out movable boolean) language plpgsql as $$
begin
    select coalesce(array_agg(d.id), '{}'), coalesce(array_agg(distinct d.event_id), '{}') into ids, events
    from (
        select id, event_id from deliveries
        where id >= day_floor(day) and id < day_floor(day + 1) and next_attempt_at is not null and not test
        limit most_rows_moved() + 1) d;
    movable := cardinality(ids) <= most_rows_moved() and (
        select coalesce(sum(octet_length(e.data)), 0) <= most_bytes_moved() from events e
        where e.id >= day_floor(day) and e.id < day_floor(day + 1) and e.id = any(outstanding_of.events));
end
$$;
-- +goose StatementEnd

-- take_apart takes a day's partitions out of their tables and drops them, except for the
-- deliveries and events given, with what belongs to them: these go to the default
-- partitions.
-- +goose StatementBegin
create or replace function take_apart(day date, ids uuid[], events uuid[]) returns void language plpgsql as $$
declare
    base    text;
    name    text;
    columns text;
begin
    foreach base in array partitioned_tables() loop
        name := day_name(base, day);
        continue when to_regclass(quote_ident(name)) is null;
        execute format('alter table %I detach partition %I', base, name);
        if cardinality(ids) > 0 then
            select string_agg(quote_ident(attname), ', ' order by attnum) into columns
            from pg_attribute where attrelid = base::regclass and attnum > 0 and not attisdropped and attgenerated = '';
            execute format('insert into %I (%s) select %s from %I where %I = any($1)', base, columns, columns, name, day_key(base))
                using case when base in ('attempts', 'deliveries') then ids else events end;
        end if;
        execute format('drop table %I', name);
    end loop;
end
$$;
-- +goose StatementEnd

-- drop_day drops the first day that ended before the given time, the partitions of all
-- tables together, and returns 1; 0 when there is none. What is outstanding of it is
-- looked up again under the lock: until then something may have been added.
-- +goose StatementBegin
create or replace function drop_day(before timestamptz) returns integer language plpgsql as $$
declare
    past date;
    o    record;
begin
    perform set_config('lock_timeout', partition_patience(), true);
    if not pg_try_advisory_xact_lock(hashtext('grapnel.partitions')) then
        return 0;
    end if;
    delete from kept_days k
    where (k.day + 1)::timestamp at time zone 'utc' > before or to_regclass(quote_ident(day_name('deliveries', k.day))) is null;
    for past in
        select distinct to_date(right(c.relname, 8), 'YYYYMMDD') as day
        from unnest(partitioned_tables()) t join pg_inherits i on i.inhparent = t::regclass join pg_class c on c.oid = i.inhrelid
        where c.relname ~ '_[0-9]{8}$'
        order by 1
    loop
        exit when (past + 1)::timestamp at time zone 'utc' > before;
        o := outstanding_of(past);
        if o.movable then
            perform lock_partitioned_tables();
            o := outstanding_of(past);
        end if;
        if o.movable then
            perform take_apart(past, o.ids, o.events);
            delete from kept_days k where k.day = past;
            return 1;
        end if;
        insert into kept_days (day, seen_at) values (past, now()) on conflict (day) do update set seen_at = excluded.seen_at;
    end loop;
    return 0;
end
$$;
-- +goose StatementEnd

-- clean_page looks at the next rows of a table's default partition after a place, and
-- deletes those from before the given time of which nothing is outstanding. What refers
-- to events that are gone goes with them, and so does what the outbox has of such: its
-- deliveries were canceled before it was started, and nobody would take it out. It
-- returns the place to go on from, null at the end. It locks no more than the rows, in
-- the order of partitioned_tables.
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

-- As older binaries call it: one day, or when there is none what lies in the default
-- partitions.
-- +goose StatementBegin
create or replace function drop_partitions(before timestamptz) returns integer language plpgsql as $$
declare
    base text;
begin
    if drop_day(before) > 0 then
        return 1;
    end if;
    foreach base in array array['attempts', 'deliveries', 'events', 'shared_workflows', 'outbox'] loop
        perform clean_page(base, '00000000-0000-0000-0000-000000000000', before, most_rows_moved());
    end loop;
    return 0;
end
$$;
-- +goose StatementEnd

-- +goose Down
-- The functions and their table stay: they work with the tables of 00005 as well.
select 1;
