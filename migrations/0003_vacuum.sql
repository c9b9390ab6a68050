-- Vacuum keeps up with the writers. Every update of an object leaves a dead row in `objects` and,
-- once compacted, one in `object_log`. With Postgres' default pauses (2 ms after some pages) it
-- removes less than a busy writer leaves, and the tables grow without end; without pauses it is
-- done in a fraction of the time, and both tables are small.
alter table objects set (
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_scale_factor = 0.05,
    toast.autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0.05
);
alter table object_log set (
    autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0.05,
    toast.autovacuum_vacuum_insert_scale_factor = 0.05
);
