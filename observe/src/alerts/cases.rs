//! Which fault raises which alert.

/// One fault and the one alert that must come of it.
pub struct Case {
    /// What goes wrong.
    pub name: &'static str,
    /// Its alert.
    pub alert: &'static str,
    /// The instance or flow that it must blame; empty where it is the host.
    pub blamed: &'static str,
    /// How it is provoked.
    pub act: Act,
}

/// How it is provoked.
pub enum Act {
    /// Faults on purpose, in force until they are cleared.
    Faults(&'static [&'static str]),
    /// The same, and many more calls of the first one's operation than the bulkhead lets in.
    Overload { fault: &'static str, input: &'static str },
    /// The same, and runs of create-user.
    Runs(&'static [&'static str]),
    /// A server that stands still.
    Frozen(&'static str),
    /// The host is killed.
    Kill,
    /// The host dies at a point of its journal, as a fault says.
    Crash,
    /// Jaeger is gone.
    NoJaeger,
    /// Almost as many files are open as may be.
    FewFiles,
    /// More messages come than are taken.
    FullQueue,
}

/// docs/runbooks/README.md has this as a table for people, with what follows of each and is held back. In this order: a slow burn is
/// masked for as long as an earlier trouble of the same instance is remembered, and a fast one is the first to be seen only where there
/// is some history without errors.
pub const CASES: &[Case] = &[
    case(
        "one call in a hundred fails",
        "ChassisErrorBudgetBurnSlow",
        "mongodb",
        Act::Faults(&[
            r#"{"name":"a","kind":"error","code":"internal","instance":"mongodb","operation":"find_one","every":100}"#,
        ]),
    ),
    case(
        "calls are in each other's way",
        "ChassisRetryBudgetSpent",
        "elasticsearch",
        Act::Faults(&[
            r#"{"name":"a","kind":"error","code":"aborted","retryable":true,"instance":"elasticsearch","operation":"get","probability":0.7}"#,
        ]),
    ),
    case(
        "every call fails",
        "ChassisBreakerOpen",
        "redis",
        Act::Faults(&[r#"{"name":"a","kind":"error","instance":"redis"}"#]),
    ),
    case(
        "no answer before the effect",
        "ChassisBreakerOpen",
        "redis",
        Act::Faults(&[r#"{"name":"a","kind":"timeout_before","instance":"redis"}"#]),
    ),
    case(
        "no answer after the effect",
        "ChassisBreakerOpen",
        "redis",
        Act::Faults(&[r#"{"name":"a","kind":"timeout_after","instance":"redis"}"#]),
    ),
    case(
        "slow, and much is asked",
        "ChassisBulkheadSaturated",
        "postgres",
        Act::Overload {
            fault: r#"{"name":"a","kind":"latency","latency":"400ms","instance":"postgres","operation":"query"}"#,
            input: r#"{"sql":"select 1 as one"}"#,
        },
    ),
    case(
        "plugin panics once",
        "ChassisPluginCrashed",
        "elasticsearch",
        Act::Faults(&[r#"{"name":"a","kind":"panic","instance":"elasticsearch","operation":"get","nth":1}"#]),
    ),
    case(
        "plugin panics at every call",
        "ChassisPluginCrashed",
        "elasticsearch",
        Act::Faults(&[r#"{"name":"a","kind":"panic","instance":"elasticsearch","operation":"get"}"#]),
    ),
    case("server stands still", "ChassisBackendDown", "redis", Act::Frozen("redis")),
    case(
        "one call in ten fails",
        "ChassisErrorBudgetBurnFast",
        "http-api",
        Act::Faults(&[r#"{"name":"a","kind":"error","code":"internal","instance":"http-api","every":10}"#]),
    ),
    case(
        "undo is blocked",
        "ChassisFlowStuck",
        "create-user",
        Act::Runs(&[
            r#"{"name":"a","kind":"error","code":"invalid_argument","instance":"elasticsearch","operation":"index"}"#,
            r#"{"name":"b","kind":"error","code":"aborted","instance":"redis","operation":"delete"}"#,
        ]),
    ),
    case(
        "undo needs a second try",
        "ChassisUndoFailing",
        "create-user",
        Act::Runs(&[
            r#"{"name":"a","kind":"error","code":"invalid_argument","instance":"elasticsearch","operation":"index"}"#,
            r#"{"name":"b","kind":"error","code":"aborted","instance":"redis","operation":"delete","every":2}"#,
        ]),
    ),
    case("messages come faster than they are taken", "ChassisQueueGrowing", "rabbitmq", Act::FullQueue),
    case("Jaeger is gone", "ChassisTelemetryLost", "", Act::NoJaeger),
    case("almost no files left", "ChassisHostNearLimits", "", Act::FewFiles),
    case("host crashes at a point of its journal", "ChassisNotScraped", "", Act::Crash),
    case("host is killed", "ChassisNotScraped", "", Act::Kill),
];

const fn case(name: &'static str, alert: &'static str, blamed: &'static str, act: Act) -> Case {
    Case { name, alert, blamed, act }
}
