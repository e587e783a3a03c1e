//! Every metric of the host: its name, what it says, and the buckets of those that have some.

/// Buckets of `db.client.operation.duration`.
pub const DATABASE_BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
/// Buckets of the durations of messaging and HTTP.
pub const MESSAGING_HTTP_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Buckets of our own durations: a call may take microseconds, a flow seconds.
pub const OWN_BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Buckets of what the host itself does: microseconds.
pub const OVERHEAD_BUCKETS: &[f64] = &[
    0.00000025, 0.0000005, 0.000001, 0.0000025, 0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.001,
    0.01,
];

/// Every histogram there is, with its buckets and what it says.
pub const HISTOGRAMS: &[(&str, &[f64], &str)] = &[
    ("db_client_operation_duration_seconds", DATABASE_BUCKETS, "Duration of database client operations."),
    (
        "messaging_client_operation_duration_seconds",
        MESSAGING_HTTP_BUCKETS,
        "Duration of messaging client operations.",
    ),
    ("messaging_process_duration_seconds", MESSAGING_HTTP_BUCKETS, "Duration of processing a message."),
    ("http_client_request_duration_seconds", MESSAGING_HTTP_BUCKETS, "Duration of HTTP client requests."),
    ("http_server_request_duration_seconds", MESSAGING_HTTP_BUCKETS, "Duration of HTTP server requests."),
    (
        "chassis_call_duration_seconds",
        OWN_BUCKETS,
        "Duration of calls, policies included; refused and cancelled ones are not in it.",
    ),
    ("chassis_flow_duration_seconds", OWN_BUCKETS, "Duration of flow runs, undo included."),
    (
        "chassis_flow_step_duration_seconds",
        OWN_BUCKETS,
        "Duration of a step's work on the way forward, however it ended; of a list, of each item.",
    ),
    (
        "chassis_boundary_overhead_seconds",
        OVERHEAD_BUCKETS,
        "What the host itself does of a call, less the plugin's time and all waiting; one call in 64.",
    ),
    (
        "chassis_journal_write_duration_seconds",
        OWN_BUCKETS,
        "Duration of the journal's transactions, each with what many runs wrote.",
    ),
];

pub(super) const COUNTERS: &[(&str, &str)] = &[
    (
        "chassis_calls_total",
        "Calls by outcome: ok, error, refused (by a policy, nothing was sent) or cancelled.",
    ),
    ("chassis_refused_total", "Calls that a policy refused: nothing was sent."),
    (
        "chassis_plugin_crashes_total",
        "How often an instance was of no use any more, by cause: panic or create.",
    ),
    ("chassis_log_lines_suppressed_total", "Lines about failed calls that were summed up instead."),
    ("chassis_faults_injected_total", "Faults injected on purpose."),
    ("chassis_flow_runs_total", "Flow runs by outcome."),
    ("chassis_flow_undo_failures_total", "Tries of a step's undo that failed."),
    ("chassis_journal_write_failures_total", "Tries of a transaction of the journal that failed."),
    ("chassis_spans_exported_total", "Spans that the collector took."),
    (
        "chassis_spans_dropped_total",
        "Spans that could not be exported: the queue was full, or the collector did not take them.",
    ),
    ("chassis_breaker_transitions_total", "Turns of a breaker, by the state turned to."),
    ("chassis_retries_total", "Tries after the first one."),
    (
        "chassis_retry_budget_exhausted_total",
        "Retries that were not made, as the instance had made its share.",
    ),
    ("messaging_client_sent_messages_total", "Messages that producers tried to send."),
    ("messaging_client_consumed_messages_total", "Messages delivered to the application."),
];

pub(super) const GAUGES: &[(&str, &str)] = &[
    ("chassis_bulkhead_in_flight", "Calls in flight of an instance."),
    ("chassis_bulkhead_limit", "The most calls in flight of an instance; none where there is no limit."),
    ("chassis_breaker_state", "How a breaker stands: 0 closed, 1 half-open, 2 open."),
    ("chassis_flow_stuck", "Runs whose undo is blocked: they wait for resume or skip."),
    ("chassis_flow_active", "Runs under way on this host."),
    (
        "chassis_queue_messages",
        "Messages that wait in a queue that starts runs; NaN while the broker does not say.",
    ),
    (
        "chassis_memory_limit_bytes",
        "The most memory there is for this process: its control group's limit, else the machine's.",
    ),
    ("chassis_plugin_info", "A loaded plugin; always 1."),
    ("chassis_plugin_healthy", "1 if the instance's last health check succeeded, else 0."),
    ("db_client_connection_count", "Connections of a pool by state."),
    ("db_client_connection_max", "The most connections that a pool may have."),
    ("db_client_connection_pending_requests", "Requests that wait for a connection."),
    ("chassis_runtime_workers", "Worker threads of the async runtime."),
    ("chassis_runtime_alive_tasks", "Tasks of the async runtime that are not finished."),
    ("chassis_runtime_global_queue_depth", "Tasks that wait in the runtime's global queue."),
    ("chassis_runtime_busy_ratio", "Share of the workers' time that was busy since the last reading."),
];
