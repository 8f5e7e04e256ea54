set local lock_timeout = '2s';

drop trigger webhook_was on webhooks;
drop function webhook_was;
drop table webhook_history, event_references;
alter table events drop column refs;
-- The other functions stay: they work with these tables as well.
create or replace function partitioned_tables() returns text[] language sql immutable as $$
    select array['attempts', 'deliveries', 'events', 'shared_workflows']
$$;
