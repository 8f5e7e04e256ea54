-- +goose Up

-- A key that may manage tenants: the one from the operator's environment.
alter table api_keys add column operator boolean not null default false;

update api_keys set operator = true where name = 'GRAPNEL_ADMIN_KEY';

-- +goose Down
alter table api_keys drop column operator;
