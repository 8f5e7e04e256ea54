-- +goose Up
set local lock_timeout = '2s';

-- Which workflow delivers an event, where it is not the event's own: several that
-- were published in a burst share one. A table of its own and not a column of
-- events: naming it there would write each event's payload and its index entries
-- once more.
create table shared_workflows (
    event_id    uuid primary key,
    workflow_id text not null
) partition by range (event_id);

create table shared_workflows_default partition of shared_workflows default;

insert into shared_workflows (event_id, workflow_id) select id, workflow_id from events where workflow_id is not null;

alter table events drop column workflow_id;

-- The tables partitioned by day, in the order in which publishing and recording
-- lock them.
create or replace function partitioned_tables() returns text[] language sql immutable as $$
    select array['deliveries', 'events', 'attempts', 'shared_workflows']
$$;

-- +goose StatementBegin
create or replace function lock_partitioned_tables() returns void language plpgsql as $$
declare base text;
begin
    foreach base in array partitioned_tables() loop
        execute format('lock table %I in access exclusive mode', base);
    end loop;
end
$$;
-- +goose StatementEnd

-- As in 00001, but for the tables' names.
-- +goose StatementBegin
create or replace function ensure_partitions(ahead integer) returns integer language plpgsql as $$
declare
    day  date;
    base text;
    made integer := 0;
begin
    -- It locks the parents: better to fail and try later than to queue every
    -- publish behind a long query. Several processes may call it at once.
    set local lock_timeout = '3s';
    perform pg_advisory_xact_lock(hashtext('grapnel.partitions'));
    foreach base in array partitioned_tables() loop
        for day in select d::date from generate_series((now() at time zone 'utc')::date - 1, (now() at time zone 'utc')::date + ahead, interval '1 day') d loop
            if to_regclass(format('%I', base || '_' || to_char(day, 'YYYYMMDD'))) is null then
                perform lock_partitioned_tables();
                begin
                    execute format('create table %I partition of %I for values from (%L) to (%L)',
                        base || '_' || to_char(day, 'YYYYMMDD'), base,
                        uuid_floor(day::timestamp at time zone 'utc'), uuid_floor((day + 1)::timestamp at time zone 'utc'));
                    made := made + 1;
                exception when check_violation then
                    -- Rows of that day are in the default partition, and stay there;
                    -- the other days must be made all the same.
                    raise warning '% of % stays in the default partition', base, day;
                end;
            end if;
        end loop;
    end loop;
    return made;
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create or replace function drop_partitions(before timestamptz) returns integer language plpgsql as $$
declare
    part    record;
    base    text;
    pending boolean;
    dropped integer := 0;
begin
    set local lock_timeout = '3s'; -- as in ensure_partitions
    perform pg_advisory_xact_lock(hashtext('grapnel.partitions'));
    for part in
        select to_date(right(c.relname, 8), 'YYYYMMDD') as day, right(c.relname, 8) as suffix
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'deliveries'::regclass and c.relname ~ '^deliveries_[0-9]{8}$'
        order by 1
    loop
        continue when (part.day + 1)::timestamp at time zone 'utc' > before;
        execute format('select exists (select from %I where next_attempt_at is not null and not test)', 'deliveries_' || part.suffix) into pending;
        continue when pending;
        perform lock_partitioned_tables();
        foreach base in array partitioned_tables() loop
            execute format('drop table if exists %I', base || '_' || part.suffix);
        end loop;
        dropped := dropped + 1;
    end loop;
    delete from attempts_default where delivery_id < uuid_floor(before) and not exists (
        select from deliveries_default d where d.id = delivery_id and d.next_attempt_at is not null);
    delete from deliveries_default where id < uuid_floor(before) and next_attempt_at is null;
    delete from events_default e where e.id < uuid_floor(before) and not exists (
        select from deliveries_default d where d.event_id = e.id);
    delete from shared_workflows_default s where s.event_id < uuid_floor(before) and not exists (
        select from events e where e.id = s.event_id);
    return dropped;
end
$$;
-- +goose StatementEnd

select ensure_partitions(3);

-- +goose Down
alter table events add column workflow_id text;
update events e set workflow_id = s.workflow_id from shared_workflows s where s.event_id = e.id;
drop table shared_workflows;
-- The functions stay as they are, over the three tables.
create or replace function partitioned_tables() returns text[] language sql immutable as $$
    select array['deliveries', 'events', 'attempts']
$$;
