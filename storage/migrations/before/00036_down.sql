set local lock_timeout = '2s';

-- Tenants keep their status, which older versions show and do not heed.
drop table tenant_deletions;
drop index deleted_webhooks_of_tenant;
drop trigger webhook_begins on webhooks;
drop function webhook_begins;
drop trigger webhook_suspended on webhooks;
alter table webhooks drop column suspended_at;
