-- +goose Up
set local lock_timeout = '2s';

-- What each tenant has used, by hour (K10). Successes are attempts that succeeded; the other attempts failed.
create table tenant_usage (
    tenant_id  uuid not null,
    hour       timestamptz not null,
    events     bigint not null,
    deliveries bigint not null,
    bytes      bigint not null,
    attempts   bigint not null,
    successes  bigint not null,
    primary key (tenant_id, hour)
);

create index tenant_usage_hours on tenant_usage (hour);

-- What is not in tenant_usage yet. The statement that stores events or attempts adds a row for each tenant and hour: so it
-- is counted exactly if it is stored. Nothing locks a row here, and there is no index. Maintenance moves the rows to
-- tenant_usage every half minute, so the table stays small if its dead rows are taken away often.
create table usage_deltas (
    tenant_id  uuid not null,
    hour       timestamptz not null,
    events     bigint not null default 0,
    deliveries bigint not null default 0,
    bytes      bigint not null default 0,
    attempts   bigint not null default 0,
    successes  bigint not null default 0
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000);

-- +goose Down
drop table usage_deltas, tenant_usage;
