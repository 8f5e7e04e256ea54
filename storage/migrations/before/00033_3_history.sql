set local lock_timeout = '2s';

-- What of a webhook decides which events it gets, as it was until a change. What held at a time is the first row
-- that ends after it, and the webhook itself where there is none: so a webhook that never changes has no rows.
create table if not exists webhook_history (
    webhook_id uuid not null references webhooks on delete cascade,
    until      timestamptz not null,
    profile    text not null,
    cache      text not null,
    events     text[] not null,
    active     boolean not null,
    primary key (webhook_id, until)
);

create index if not exists webhook_history_age on webhook_history (until);

-- A trigger, so that no process of an older version leaves it out.
create or replace function webhook_was() returns trigger language plpgsql as $$
begin
    insert into webhook_history (webhook_id, until, profile, cache, events, active)
    values (old.id, clock_timestamp(), old.profile, old.cache, old.events, old.active)
    on conflict do nothing;
    return null;
end
$$;

create or replace trigger webhook_was after update on webhooks for each row when (
    old.profile is distinct from new.profile or old.cache is distinct from new.cache
    or old.events is distinct from new.events or old.active is distinct from new.active)
    execute function webhook_was();
