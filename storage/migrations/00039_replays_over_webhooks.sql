-- +goose Up
set local lock_timeout = '2s';

-- A replay over several webhooks (A6): those of webhook_ids, or all of the tenant if that is null. Its webhook_id is its own
-- id, of which there is no webhook: so processes of the version before can read it. delivery_ids are deliveries chosen one
-- by one; null if other conditions choose.
alter table replays
    add column many         boolean not null default false,
    add column webhook_ids  uuid[],
    add column delivery_ids uuid[],
    add column status_class integer not null default 0,
    add column error_class  text not null default '',
    add column reference    text not null default '';

-- A process of the version before would cancel such a replay for want of its webhook. This makes it fail instead, and the
-- step is repeated by another process. Not valid: existing rows need no look.
alter table replays add constraint replays_over_many
    check (not many or state <> 'canceled' or reason not in ('Webhook deleted', 'Webhook disabled')) not valid;

-- How far a replay over several webhooks has come. The row with the zero id is of all its webhooks, except of those that
-- have rows of their own: they do not answer, or slowly, and must not delay the others.
create table replay_walks (
    replay_id      uuid not null references replays on delete cascade,
    webhook_id     uuid not null,
    -- The last event or delivery that was looked at; of an event, up to the webhook cursor_webhook, null for all.
    cursor         uuid not null,
    cursor_webhook uuid,
    -- Whether it looks once more at what was stored late (00020).
    late           boolean not null default false,
    ended          boolean not null default false,
    -- When it last went on: walks take turns.
    stepped_at     timestamptz not null default '-infinity',
    primary key (replay_id, webhook_id)
);

-- +goose Down
drop table replay_walks;
-- A replay over several webhooks means nothing to the version before.
delete from replays where many;
alter table replays drop constraint replays_over_many;
alter table replays
    drop column reference, drop column error_class, drop column status_class, drop column delivery_ids, drop column webhook_ids, drop column many;
