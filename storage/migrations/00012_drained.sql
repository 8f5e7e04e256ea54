-- +goose Up

-- An event all of whose webhooks are unavailable or paused at the accept has no workflow
-- of its own: its deliveries are parked from the start. This is the webhook whose drain
-- stands for it.
alter table events add column drained_by uuid;

-- +goose Down
alter table events drop column drained_by;
