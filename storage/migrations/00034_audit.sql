-- +goose Up
set local lock_timeout = '2s';

-- Who has changed what (K11). An entry is inserted by the transaction of its change. Its id is a UUIDv7 and has its time,
-- so retention deletes from the beginning of the primary key. There are no foreign keys: an entry outlives its tenant, its
-- actor and its target.
create table audit_log (
    id          uuid primary key,
    tenant_id   uuid not null,
    actor_kind  text not null check (actor_kind <> ''),
    actor_id    text not null,
    actor_name  text not null,
    address     text not null default '',
    action      text not null check (action <> ''),
    target_kind text not null check (target_kind <> ''),
    target_id   text not null,
    target_name text not null default '',
    changes     json not null
);

create index audit_log_list on audit_log (tenant_id, id desc);
create index audit_log_of_target on audit_log (tenant_id, target_id, id desc);
create index audit_log_of_actor on audit_log (tenant_id, actor_id, id desc);

-- +goose Down
drop table audit_log;
