set local lock_timeout = '2s';

-- It is run before the index of its number is made (indexes.go), and again if that was interrupted: so everything
-- here can be repeated.

-- Since when a webhook is held because its tenant is suspended, or is being deleted (K8). It is beside paused_at, which its
-- owner sets.
alter table webhooks add column if not exists suspended_at timestamptz;

-- A request depends on it. A trigger beside webhook_changes, which makes the same version of a change of both.
create or replace trigger webhook_suspended before update on webhooks for each row
    when (old.suspended_at is distinct from new.suspended_at)
    execute function webhook_changes();

-- A new webhook is held like the others of its tenant. The lock makes it wait for a change of the tenant's status, which then
-- finds it. A trigger, so that no process of an older version leaves it out. A tenant that is being deleted gets no webhooks.
create or replace function webhook_begins() returns trigger language plpgsql as $$
declare
    state text;
begin
    select t.status into state from tenants t where t.id = new.tenant_id for share;
    if state = 'deleting' then
        raise exception using errcode = 'GR002', message = 'the tenant is being deleted';
    end if;
    if state = 'suspended' then
        new.suspended_at := now();
    end if;
    return new;
end
$$;

create or replace trigger webhook_begins before insert on webhooks for each row execute function webhook_begins();

-- The progress of the deletion of tenants. A row goes with its tenant.
create table if not exists tenant_deletions (
    tenant_id       uuid primary key references tenants on delete cascade,
    phase           text not null default 'canceling' check (phase in ('canceling', 'erasing', 'finishing')),
    requested_at    timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    -- When its workflow looks again, as drains.due_at is.
    due_at          timestamptz not null default '-infinity',
    -- The transactions that were storing events when erasing began; null before.
    late_writers    text[],
    -- The last event that is erased with all of its deliveries; and of the next one, the last delivery, null for none.
    event_cursor    uuid not null default '00000000-0000-0000-0000-000000000000',
    delivery_cursor uuid,
    -- The last idempotency key that is deleted.
    key_cursor      text not null default '',
    webhooks        bigint not null default 0,
    canceled        bigint not null default 0,
    events          bigint not null default 0,
    deliveries      bigint not null default 0
);

create index if not exists deleted_webhooks_of_tenant on deleted_webhooks (tenant_id);
