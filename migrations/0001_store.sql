-- Objects, their log and the revision counter. Owner: crate `store`.
--
-- The one row of store_state is locked by every transaction that writes objects and stays locked
-- to its commit, so the order of revisions is the order in which they become visible, without
-- holes. Names compare by bytes (collation "C"), as in the watch cache.
--
-- Values are `json`, not `jsonb`: the text comes back as it was written, an escaped \u0000
-- inside a string is kept, and nothing in the database looks inside.

create table store_state (
    one              boolean primary key default true check (one),
    revision         bigint  not null,
    compact_revision bigint  not null check (compact_revision <= revision),
    cluster_uid      uuid    not null
);

-- Revisions start at 1, so that the list of an empty store has a revision that is not 0, which
-- means "any" to Kubernetes clients.
insert into store_state (revision, compact_revision, cluster_uid) values (1, 1, gen_random_uuid());

create table objects (
    resource         text   not null collate "C",
    namespace        text   not null collate "C",
    name             text   not null collate "C",
    revision         bigint not null,
    created_revision bigint not null,
    value            json   not null,
    primary key (resource, namespace, name)
) with (fillfactor = 80);

-- Every change. For a delete, `value` is the last state. `batch` is a random number of the
-- transaction: after a connection was lost in a commit, it tells whether the commit happened.
create table object_log (
    revision     bigint      primary key,
    batch        bigint      not null,
    resource     text        not null collate "C",
    namespace    text        not null collate "C",
    name         text        not null collate "C",
    op           text        not null check (op in ('put', 'delete')),
    value        json        not null,
    committed_at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05);

create index object_log_key on object_log (resource, namespace, name, revision);

-- Who leads. `epoch` rises with every change of holder and is checked by what the leader writes.
create table leases (
    name       text        primary key,
    holder     text        not null,
    epoch      bigint      not null,
    expires_at timestamptz not null
);

-- lz4 is cheaper than the default; servers built without it keep the default.
do $$
begin
    execute 'alter table objects alter column value set compression lz4';
    execute 'alter table object_log alter column value set compression lz4';
exception
    when feature_not_supported or syntax_error then
        raise notice 'lz4 is not available, values are compressed with the default method';
end
$$;

-- Applies a batch of writes in one statement; each stands or falls alone.
--
-- Writes come as parallel arrays and must have different keys. expect: null = some object,
-- 0 = none, else exactly this revision. value: null for a delete that keeps the stored value.
-- Guards are conditions on other keys as they were before the batch.
--
-- Per write, in order: applied (out_revision; for such a delete also out_value, the stored value),
-- or a guard failed (out_guard, the first), or the precondition failed (out_current and out_value,
-- both null when there is no object).
--
-- The planner settings keep the plan on the primary key however wrong the statistics are.
create function store_write(
    p_batch     bigint,
    p_resource  text[],
    p_namespace text[],
    p_name      text[],
    p_expect    bigint[],
    p_delete    boolean[],
    p_value     text[],
    g_write     int[],
    g_nth       int[],
    g_resource  text[],
    g_namespace text[],
    g_name      text[],
    g_expect    bigint[]
) returns table (out_revision bigint, out_guard int, out_current bigint, out_value text)
language plpgsql
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
    base bigint;
begin
    -- First of all: whoever waits here sees, in the next statement, all that was committed.
    select s.revision into strict base from store_state s for update;

    return query
    with wanted as (
        select w.*
        from unnest(p_resource, p_namespace, p_name, p_expect, p_delete, p_value)
             with ordinality as w(resource, namespace, name, expect, del, value, nth)
    ),
    broken as (
        select g.write, min(g.nth) as guard
        from unnest(g_write, g_nth, g_resource, g_namespace, g_name, g_expect)
             as g(write, nth, resource, namespace, name, expect)
        left join objects o
            on (o.resource, o.namespace, o.name) = (g.resource, g.namespace, g.name)
        where case
            when g.expect is null then o.revision is null
            when g.expect = 0 then o.revision is not null
            else o.revision is distinct from g.expect
        end
        group by g.write
    ),
    judged as (
        select w.*, b.guard, o.revision as current, o.value as current_value,
            b.guard is null and case
                when w.expect is null then o.revision is not null
                when w.expect = 0 then o.revision is null
                else o.revision is not distinct from w.expect
            end as passes
        from wanted w
        left join objects o
            on (o.resource, o.namespace, o.name) = (w.resource, w.namespace, w.name)
        left join broken b on b.write = w.nth
    ),
    numbered as (
        select j.*,
            case when j.passes
                then base + count(*) filter (where j.passes) over (order by j.nth)
            end as revision
        from judged j
    ),
    put as (
        insert into objects (resource, namespace, name, revision, created_revision, value)
        select n.resource, n.namespace, n.name, n.revision, n.revision, n.value::json
        from numbered n
        where n.passes and not n.del
        on conflict on constraint objects_pkey
            do update set revision = excluded.revision, value = excluded.value
    ),
    removed as (
        delete from objects o
        using numbered n
        where n.passes and n.del
            and (o.resource, o.namespace, o.name) = (n.resource, n.namespace, n.name)
    ),
    logged as (
        insert into object_log (revision, batch, resource, namespace, name, op, value)
        select n.revision, p_batch, n.resource, n.namespace, n.name,
            case when n.del then 'delete' else 'put' end,
            coalesce(n.value::json, n.current_value)
        from numbered n
        where n.passes
        order by n.revision
    ),
    counted as (
        update store_state s
        set revision = (select max(n.revision) from numbered n)
        where exists (select from numbered n where n.passes)
    )
    select n.revision, n.guard,
        case when not n.passes then n.current end,
        case when not n.passes or n.value is null then n.current_value::text end
    from numbered n
    order by n.nth;

    -- A doorbell without a message: listeners read the log.
    perform pg_notify('obiente_store', '') from store_state s where s.revision > base;
end
$$;

-- The newest revision that may be compacted: at least `keep_revisions` behind the newest, and
-- older than `keep_for`. There are no holes above compact_revision, so halving finds it.
create function store_compact_target(keep_for interval, keep_revisions bigint) returns bigint
language plpgsql stable
as $$
declare
    low  bigint;
    high bigint;
    mid  bigint;
    old  boolean;
begin
    select s.compact_revision, s.revision - keep_revisions into strict low, high
    from store_state s;
    while low < high loop
        mid := (low + high + 1) / 2;
        select l.committed_at <= clock_timestamp() - keep_for into old
        from object_log l where l.revision = mid;
        if coalesce(old, false) then
            low := mid;
        else
            high := mid - 1;
        end if;
    end loop;
    return low;
end
$$;

-- Moves compact_revision on by at most `step` towards `target` and deletes what is then
-- superseded: older versions of a key, and deletes. The last version of a live key stays, so that
-- every revision from compact_revision on can be listed and resumed from.
-- Returns null when another process is at it or nothing is left to do, else the rows deleted.
create function store_compact(target bigint, step bigint) returns bigint
language plpgsql
as $$
declare
    low     bigint;
    high    bigint;
    deleted bigint;
begin
    if not pg_try_advisory_xact_lock(hashtext('obiente_store_compact')) then
        return null;
    end if;
    select s.compact_revision into strict low from store_state s;
    high := least(low + step, target);
    if high <= low then
        return null;
    end if;
    delete from object_log l
    using (
        select distinct on (n.resource, n.namespace, n.name)
            n.resource, n.namespace, n.name, n.revision, n.op
        from object_log n
        where n.revision > low and n.revision <= high
        order by n.resource, n.namespace, n.name, n.revision desc
    ) newest
    where l.resource = newest.resource and l.namespace = newest.namespace
        and l.name = newest.name
        and (l.revision < newest.revision
            or (l.revision = newest.revision and newest.op = 'delete'));
    get diagnostics deleted = row_count;
    -- Last, because from here to the commit no object can be written.
    update store_state s set compact_revision = high where s.compact_revision = low;
    return deleted;
end
$$;
