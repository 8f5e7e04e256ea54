-- +goose Up
set local lock_timeout = '2s';

-- A process cleans the default partition of a table while others clean other tables. With one lock for all tables, several
-- processes that ran together could each skip a table because another process was at a different one; its rows then stayed
-- until the next run. Only the name of the lock changes, so the rest of the function stays as it is.
-- +goose StatementBegin
do $$
declare
    stored  text := pg_get_functiondef('clean_page'::regproc);
    changed text := replace(stored, 'hashtext(''grapnel.defaults'')', 'hashtext(''grapnel.defaults.'' || base)');
begin
    if changed = stored then
        raise exception 'clean_page has no lock to rename';
    end if;
    execute changed;
end $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
do $$
begin
    execute replace(pg_get_functiondef('clean_page'::regproc), 'hashtext(''grapnel.defaults.'' || base)', 'hashtext(''grapnel.defaults'')');
end $$;
-- +goose StatementEnd
