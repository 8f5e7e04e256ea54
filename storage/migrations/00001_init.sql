-- +goose Up
set local lock_timeout = '2s';

-- Conventions: ids are UUIDv7, so their order is the order of time. events,
-- deliveries and attempts are partitioned by day on ids; a delivery's id begins
-- with the first eight bytes of its event's, so that an event and everything of
-- it lies in one day's partitions, and an event's deliveries are neighbours in
-- the primary key (no index on event_id is needed).

create table tenants (
    id         uuid primary key,
    name       text not null unique check (length(name) between 1 and 100),
    created_at timestamptz not null default now()
);

insert into tenants (id, name) values ('00000000-0000-7000-8000-000000000001', 'default');

create table api_keys (
    id         uuid primary key,
    tenant_id  uuid not null references tenants,
    name       text not null,
    hash       bytea not null unique check (length(hash) = 32),
    scopes     text[] not null check (cardinality(scopes) > 0 and scopes <@ array['admin', 'webhooks', 'publish', 'read']),
    token_id   text not null default '',
    topics     text[] not null default '{}',
    expires_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz not null default now()
);

create index api_keys_list on api_keys (tenant_id, id desc);

create table event_types (
    tenant_id   uuid not null references tenants,
    name        text not null check (length(name) between 1 and 128),
    description text not null default '',
    created_at  timestamptz not null default now(),
    primary key (tenant_id, name)
);

create table webhooks (
    id              uuid primary key,
    tenant_id       uuid not null references tenants,
    profile         text not null check (profile in ('standard', 'momento', 'commenda')),
    url             text not null,
    events          text[] not null check (cardinality(events) > 0),
    -- sealed by internal/secrets with the webhook's id as additional data
    secret          bytea not null,
    headers         bytea,
    active          boolean not null,
    disabled_reason text not null default '',
    description     text not null default '',
    timeout_ms      integer not null check (timeout_ms between 1000 and 30000),
    rate_limit      integer not null default 0 check (rate_limit >= 0),
    max_attempts    integer not null check (max_attempts between 1 and 5),
    health          text not null default 'healthy' check (health in ('healthy', 'failing', 'failed')),
    failing_since   timestamptz,
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    check (active = (disabled_reason = ''))
);

create index webhooks_list on webhooks (tenant_id, id desc);

-- What webhooks.events says, turned around for matching by equality.
create table subscriptions (
    tenant_id  uuid not null,
    pattern    text not null,
    webhook_id uuid not null references webhooks on delete cascade,
    primary key (tenant_id, pattern, webhook_id)
);

create index subscriptions_of_webhook on subscriptions (webhook_id);

create table events (
    id              uuid primary key,
    tenant_id       uuid not null,
    type            text not null,
    data            bytea not null,
    organization_id text not null default '',
    test            boolean not null default false,
    deliveries      integer not null check (deliveries >= 0),
    -- only where it is not the event's own id
    workflow_id     text,
    created_at      timestamptz not null
) partition by range (id);

create index events_list on events (tenant_id, id desc);

create table deliveries (
    id              uuid primary key,
    event_id        uuid not null,
    webhook_id      uuid not null,
    tenant_id       uuid not null,
    event_type      text not null,
    test            boolean not null default false,
    state           text not null check (state in ('pending', 'sending', 'success', 'failed', 'canceled', 'timed_out', 'dropped')),
    attempts        integer not null default 0,
    scheduled       integer not null default 0 check (scheduled between 0 and 5),
    status_code     integer,
    error           text,
    -- outstanding exactly while it is set
    next_attempt_at timestamptz,
    delivered_at    timestamptz,
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    check ((state = 'success') = (delivered_at is not null)),
    check (next_attempt_at is null or state in ('pending', 'sending', 'failed')),
    check (next_attempt_at is not null or state not in ('pending', 'sending'))
) partition by range (id);

create index deliveries_list on deliveries (webhook_id, id desc);
create index deliveries_outstanding on deliveries (webhook_id) where next_attempt_at is not null;

create table attempts (
    -- drawn by the sender, so that recording again finds what is recorded
    id               uuid not null,
    delivery_id      uuid not null,
    number           integer not null check (number > 0),
    manual           boolean not null,
    url              text not null,
    started_at       timestamptz not null,
    duration_us      bigint not null,
    dns_us           bigint not null,
    connect_us       bigint not null,
    tls_us           bigint not null,
    first_byte_us    bigint not null,
    remote_addr      text not null,
    request_headers  json not null,
    status_code      integer,
    response_headers json,
    response_body    bytea,
    error_class      text not null,
    error            text not null,
    primary key (delivery_id, number)
) partition by range (delivery_id);

-- Accepted events whose workflow has not been started yet. Rows live for
-- milliseconds; what stays is the sweeper's.
create table outbox (
    event_id   uuid primary key,
    created_at timestamptz not null default now()
);

create table idempotency_keys (
    tenant_id   uuid not null,
    key         text not null,
    fingerprint bytea not null check (length(fingerprint) = 32),
    event_id    uuid not null,
    expires_at  timestamptz not null,
    primary key (tenant_id, key)
);

create index idempotency_keys_expiry on idempotency_keys (expires_at);

-- uuid_floor is the smallest id of a moment.
-- +goose StatementBegin
create function uuid_floor(at timestamptz) returns uuid language sql immutable strict as $$
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
-- +goose StatementEnd

-- ensure_partitions makes the days from yesterday to the given number of days
-- ahead. Rows outside of them go to the default partition, so that a clock that
-- is wrong costs tidiness, not events.
-- +goose StatementBegin
create function ensure_partitions(ahead integer) returns integer language plpgsql as $$
declare
    day  date;
    base text;
    made integer := 0;
begin
    -- It locks the parents: better to fail and try later than to queue every
    -- publish behind a long query. Several processes may call it at once.
    set local lock_timeout = '3s';
    perform pg_advisory_xact_lock(hashtext('grapnel.partitions'));
    foreach base in array array['events', 'deliveries', 'attempts'] loop
        for day in select d::date from generate_series((now() at time zone 'utc')::date - 1, (now() at time zone 'utc')::date + ahead, interval '1 day') d loop
            if to_regclass(format('%I', base || '_' || to_char(day, 'YYYYMMDD'))) is null then
                -- In the order in which publishing and recording lock them.
                lock table deliveries, events, attempts in access exclusive mode;
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

-- drop_partitions drops the days that ended before the given time, each whole:
-- events, deliveries and attempts together. A day with a delivery that is still
-- outstanding stays until that is over. What lies in the default partitions is
-- deleted row by row.
-- +goose StatementBegin
create function drop_partitions(before timestamptz) returns integer language plpgsql as $$
declare
    part    record;
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
        lock table deliveries, events, attempts in access exclusive mode;
        execute format('drop table if exists %I, %I, %I', 'attempts_' || part.suffix, 'deliveries_' || part.suffix, 'events_' || part.suffix);
        dropped := dropped + 1;
    end loop;
    delete from attempts_default where delivery_id < uuid_floor(before) and not exists (
        select from deliveries_default d where d.id = delivery_id and d.next_attempt_at is not null);
    delete from deliveries_default where id < uuid_floor(before) and next_attempt_at is null;
    delete from events_default e where e.id < uuid_floor(before) and not exists (
        select from deliveries_default d where d.event_id = e.id);
    return dropped;
end
$$;
-- +goose StatementEnd

create table events_default partition of events default;
create table deliveries_default partition of deliveries default;
create table attempts_default partition of attempts default;

select ensure_partitions(3);

-- +goose Down
drop table idempotency_keys, outbox, attempts, deliveries, events, subscriptions, webhooks, event_types, api_keys, tenants;
drop function drop_partitions, ensure_partitions, uuid_floor;
