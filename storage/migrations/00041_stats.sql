-- +goose Up
set local lock_timeout = '2s';

-- Statistics for people (P6): deliveries and attempts by webhook and time. A row of usage_deltas of attempts now also says
-- which webhook it is of, when they were recorded, and in which bucket of hook.Latencies their durations lie. Rows of
-- processes of the version before say none of that, and are in usage alone; such a process, when it sums up usage, takes
-- the rows away without counting them in stats. at and tx say when and in which transaction a row was written (P7).
alter table usage_deltas
    add column webhook_id uuid,
    add column minute     timestamptz,
    add column bucket     smallint,
    add column delivered  bigint not null default 0,
    add column failed     bigint not null default 0,
    add column at         timestamptz,
    add column tx         xid8;
-- Not with the columns: a volatile default would rewrite the table.
alter table usage_deltas
    alter column at set default clock_timestamp(),
    alter column tx set default pg_current_xact_id();

-- The counts of a minute, an hour or a day, of a webhook, of a tenant (webhook_id is zero) and of all (tenant_id is zero,
-- too). l0 to l23 count attempts by their duration (hook.Latencies). All three steps are written at once; each is kept for
-- a time of its own, so each has a table of its own.
create table stats (
    tenant_id       uuid not null,
    webhook_id      uuid not null,
    step            text not null check (step in ('minute', 'hour', 'day')),
    at              timestamptz not null,
    delivered       bigint not null,
    failed          bigint not null,
    attempts        bigint not null,
    failed_attempts bigint not null,
    l0              bigint not null,
    l1              bigint not null,
    l2              bigint not null,
    l3              bigint not null,
    l4              bigint not null,
    l5              bigint not null,
    l6              bigint not null,
    l7              bigint not null,
    l8              bigint not null,
    l9              bigint not null,
    l10             bigint not null,
    l11             bigint not null,
    l12             bigint not null,
    l13             bigint not null,
    l14             bigint not null,
    l15             bigint not null,
    l16             bigint not null,
    l17             bigint not null,
    l18             bigint not null,
    l19             bigint not null,
    l20             bigint not null,
    l21             bigint not null,
    l22             bigint not null,
    l23             bigint not null,
    primary key (tenant_id, webhook_id, step, at)
) partition by list (step);

-- Room for new versions of a row beside the old one: a row is added to every few seconds while its time lasts.
create table stats_minute partition of stats for values in ('minute') with (fillfactor = 60);
create table stats_hour partition of stats for values in ('hour') with (fillfactor = 80);
create table stats_day partition of stats for values in ('day') with (fillfactor = 80);

create index stats_by_time on stats (at);

-- +goose Down
drop table stats;
alter table usage_deltas
    drop column tx, drop column at, drop column failed, drop column delivered, drop column bucket, drop column minute, drop column webhook_id;
