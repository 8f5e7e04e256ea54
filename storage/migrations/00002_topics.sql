-- +goose Up
set local lock_timeout = '2s';

-- Momento's topics. A message is an event with a topic: its type is the topic's
-- name, its data the text as a JSON string. There is no table of messages beside
-- events: their text would lie in both, and be written twice by every publish.

create table topics (
    -- the first half of SHA-256 over tenant, cache and name (hook.Topic)
    id            uuid primary key,
    tenant_id     uuid not null references tenants,
    cache         text not null check (length(cache) between 1 and 128),
    name          text not null check (length(name) between 1 and 128),
    last_sequence bigint not null check (last_sequence > 0),
    page          bigint not null default extract(epoch from now())::bigint check (page > 0)
) with (fillfactor = 50); -- every publish updates its topic's row, in place while there is room

alter table webhooks
    add column cache text not null default '',
    add column name  text not null default '',
    add check ((profile = 'momento') = (cache <> '')),
    add check ((profile = 'momento') = (name <> '')),
    add constraint webhooks_momento_check check (profile <> 'momento' or (cardinality(events) = 1 and max_attempts = 1));

create unique index webhooks_by_name on webhooks (tenant_id, cache, name) where profile = 'momento';

-- A topic and an event type of the same name are two things: cache tells them apart.
alter table subscriptions
    add column cache text not null default '',
    drop constraint subscriptions_pkey,
    add primary key (tenant_id, cache, pattern, webhook_id);

alter table events
    add column cache    text not null default '',
    add column topic_id uuid,
    add column sequence bigint,
    add column token_id text not null default '',
    -- not valid: what was there before is not looked through
    add constraint events_topic_check check ((topic_id is null) = (sequence is null) and (topic_id is null or cache <> '')) not valid;

-- Whose attempt an at-most-once delivery in the state sending is.
alter table deliveries add column claim uuid;

-- It reads all events once, while publishing waits.
create index events_of_topic on events (topic_id, sequence) where topic_id is not null;

-- +goose Down
drop index events_of_topic;
alter table deliveries drop column claim;
alter table events drop column cache, drop column topic_id, drop column sequence, drop column token_id;
delete from webhooks where profile = 'momento';
alter table subscriptions drop constraint subscriptions_pkey, drop column cache, add primary key (tenant_id, pattern, webhook_id);
drop index webhooks_by_name;
alter table webhooks drop constraint webhooks_momento_check, drop column cache, drop column name;
drop table topics;
