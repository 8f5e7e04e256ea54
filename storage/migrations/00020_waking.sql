-- +goose Up
set local lock_timeout = '2s';

-- How often a drain, or a replay, was woken: the note of one that sleeps is refused when
-- this has moved since it looked. idle says that the drain sleeps because nothing is due;
-- only then does parking wake it.
alter table drains
    add column changes bigint not null default 0,
    add column idle boolean not null default false;

-- late_writers are the transactions (their virtual ids) that were storing events when a
-- replay had looked at its last one; null before. When they have ended, it looks at the
-- last minutes once more, for what they have stored behind its cursor; late_cursor is how
-- far that has come.
alter table replays
    add column changes bigint not null default 0,
    add column late_writers text[],
    add column late_cursor uuid;

-- +goose Down
alter table replays drop column late_cursor, drop column late_writers, drop column changes;
alter table drains drop column idle, drop column changes;
