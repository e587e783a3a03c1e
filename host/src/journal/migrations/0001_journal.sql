-- One text for SQLite and Postgres: only TEXT and BIGINT, times in milliseconds since 1970.

-- Every version of a flow that a run was started with.
CREATE TABLE chassis_flow_versions (
    hash TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    text TEXT NOT NULL,
    at BIGINT NOT NULL
);

-- Hosts that have or had runs. A host whose lease is over has lost its runs.
CREATE TABLE chassis_hosts (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    started BIGINT NOT NULL
);

-- A row a run: what it was started with, who has it, and how it ended. In between its entries say how it stands.
CREATE TABLE chassis_runs (
    id TEXT NOT NULL PRIMARY KEY,
    flow TEXT NOT NULL,
    version TEXT NOT NULL,
    tenant TEXT NOT NULL,
    key TEXT,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    input TEXT NOT NULL,
    context TEXT NOT NULL,
    parent TEXT,
    output TEXT,
    error TEXT,
    cancel TEXT,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    ended BIGINT,
    owner TEXT,
    fence BIGINT NOT NULL
);

-- The same key never runs twice.
CREATE UNIQUE INDEX chassis_runs_by_key ON chassis_runs (flow, tenant, key) WHERE key IS NOT NULL;
CREATE INDEX chassis_runs_unfinished ON chassis_runs (id) WHERE ended IS NULL;
CREATE INDEX chassis_runs_ended ON chassis_runs (ended) WHERE ended IS NOT NULL;
CREATE INDEX chassis_runs_by_parent ON chassis_runs (parent) WHERE parent IS NOT NULL;

-- What happened to each run, in order; never changed, only added to.
CREATE TABLE chassis_entries (
    run_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    kind TEXT NOT NULL,
    step TEXT,
    payload TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (run_id, seq)
);
