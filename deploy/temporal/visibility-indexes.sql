-- Temporal's visibility store in PostgreSQL has some 75 indexes on one table, one for each attribute that anybody might
-- search by. Every workflow writes its row twice, with all of them: 27 kB of WAL each time. Grapnel and the Web UI use
-- those below. This query returns the statements that drop the others, and psql runs them:
--
--     pg_dump --schema-only --table executions_visibility temporal_visibility > before.sql
--     psql -d temporal_visibility -f visibility-indexes.sql
--
-- Searching by an attribute without an index still works; it reads the namespace's rows. If you have attributes of your
-- own, keep the indexes of their columns: custom_search_attributes in Temporal's namespace says which. A later version of
-- Temporal's schema may expect an index that it wants to replace: then create it again from before.sql.
select format('drop index concurrently if exists %I', c.relname)
from pg_index i join pg_class c on c.oid = i.indexrelid
where i.indrelid = 'executions_visibility'::regclass and not i.indisprimary and c.relname not in (
	'default_idx',           -- every list, the newest first
	'by_workflow_id',        -- an event's workflow
	'by_workflow_type',
	'by_status',             -- Status = Failed
	'by_parent_workflow_id', -- the parts of a large fan-out
	'by_root_workflow_id',
	'by_keyword_01', 'by_keyword_02',           -- EventType, TenantId
	'by_keyword_list_01', 'by_keyword_list_02') -- EventId, WebhookId
order by c.relname
\gexec
