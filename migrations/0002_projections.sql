-- What people and dashboards query. Each table is rebuilt from the Swarm and the objects at any
-- time and has one writer: the leading controller process (`resource_usage`: the metrics writer).
-- `row_hash` tells that writer which rows differ.

-- One row per Swarm task.
create table deployment_locations (
    task_id        text primary key,
    deployment_id  text not null, -- namespace/name
    deployment_uid text,
    service_id     text,
    slot           bigint, -- null in global services
    node_id        text,
    node_hostname  text,
    container_id   text,
    status         text,
    desired_state  text,
    port           integer,
    domain         text,
    health_status  text,
    image          text,
    error          text,
    exit_code      integer,
    resource_usage jsonb,
    created_at     timestamptz,
    updated_at     timestamptz not null default clock_timestamp(),
    row_hash       text not null
);
create index deployment_locations_deployment on deployment_locations (deployment_id);
create index deployment_locations_node on deployment_locations (node_id);

-- What the Swarm says of its nodes; read it through node_metadata.
create table node_metadata_base (
    node_id              text primary key,
    hostname             text,
    role                 text,
    availability         text, -- lower case, as Docker says it
    status               text,
    region               text,
    labels               jsonb,
    total_cpu_millicores bigint,
    total_memory_bytes   bigint,
    max_deployments      integer,
    updated_at           timestamptz not null default clock_timestamp(),
    row_hash             text not null
);

-- deployment_count is counted when asked, so it cannot drift: deployments with a task that is
-- meant to run on the node.
create view node_metadata as
select n.node_id, n.hostname, n.role, n.availability, n.status, n.region, n.labels,
    n.total_cpu_millicores, n.total_memory_bytes,
    (
        select count(distinct l.deployment_id)
        from deployment_locations l
        where l.node_id = n.node_id and l.desired_state = 'running'
    ) as deployment_count,
    n.max_deployments, n.updated_at, n.row_hash
from node_metadata_base n;

-- Accepted routes. The uniqueness is checked at commit: one transaction may hand a host from one
-- route to another.
create table deployment_routing (
    routing_key        text primary key,
    deployment_id      text not null,
    domain             text not null,
    path_prefix        text not null default '',
    target_port        integer,
    protocol           text,
    ssl_enabled        boolean,
    ssl_cert_resolver  text,
    load_balancer_algo text,
    middleware         jsonb,
    route_uid          text,
    rule               text not null default '',
    updated_at         timestamptz not null default clock_timestamp(),
    row_hash           text not null,
    constraint deployment_routing_match unique (domain, path_prefix, rule)
        deferrable initially deferred
);
create index deployment_routing_deployment on deployment_routing (deployment_id);
