set local lock_timeout = '2s';

-- The days of event_references. A transaction of its own, because of the order in which it locks tables.
select ensure_partitions(3);
