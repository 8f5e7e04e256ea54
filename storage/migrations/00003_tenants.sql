-- +goose Up
set local lock_timeout = '2s';

-- A key that may manage tenants: the one from the operator's environment.
alter table api_keys add column operator boolean not null default false;

-- +goose Down
alter table api_keys drop column operator;
