-- +goose Up
set local lock_timeout = '2s';

-- Disabling or deleting a webhook changes its row alone, however much is outstanding
-- for it, and what a request depends on has a version, so that whoever sends can see
-- cheaply whether it is still as it was loaded.
alter table webhooks
    add column version    bigint not null default 1,
    -- How often the webhook was disabled: deliveries that were accepted at an earlier
    -- generation are revoked.
    add column generation integer not null default 0,
    -- Since failing_since: failed attempts, counted up to what disabling needs; the days
    -- in UTC on which there was one; and the last of these.
    add column failures    integer not null default 0,
    add column failed_days integer not null default 0,
    add column failed_on   date;

-- A trigger, so that nothing that changes a webhook can leave it out, an older process
-- and an operator's psql included.
-- +goose StatementBegin
create function webhook_changes() returns trigger language plpgsql as $$
begin
    new.version := old.version + 1;
    if old.active and not new.active then
        new.generation := old.generation + 1;
    end if;
    return new;
end
$$;
-- +goose StatementEnd

create trigger webhook_changes before update on webhooks for each row when (
    old.url is distinct from new.url or old.secret is distinct from new.secret or old.headers is distinct from new.headers
    or old.profile is distinct from new.profile or old.active is distinct from new.active or old.paused_at is distinct from new.paused_at
    or old.timeout_ms is distinct from new.timeout_ms or old.rate_limit is distinct from new.rate_limit
    or old.max_attempts is distinct from new.max_attempts or old.trace_context is distinct from new.trace_context
    or old.previous_secrets is distinct from new.previous_secrets or old.previous_until is distinct from new.previous_until
    or old.signature_schemes is distinct from new.signature_schemes)
    execute function webhook_changes();

-- Webhooks whose outstanding deliveries are to be canceled: those accepted at an earlier
-- generation, and those without one that are older than the row. It goes when none is left.
create table cancellations (
    webhook_id    uuid not null,
    generation    integer not null,
    reason        text not null,
    created_at    timestamptz not null default clock_timestamp(),
    claimed_until timestamptz not null default '-infinity',
    primary key (webhook_id, generation)
);

-- +goose Down
drop table cancellations;
drop trigger webhook_changes on webhooks;
drop function webhook_changes;
alter table webhooks drop column failed_on, drop column failed_days, drop column failures, drop column generation, drop column version;
