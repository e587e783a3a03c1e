//! What the host offers to an instance.

use chassis_abi::Code;
use chassis_abi::host::{METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM};
use serde_json::Value;
use std::fmt;
use std::sync::atomic::AtomicU32;
use tokio::runtime::Handle;

/// What the host offers to one instance. Called from any thread, also from calls under way: must not block.
pub trait HostServices: Send + Sync {
    /// The runtime, with I/O and time, that runs what the plugin spawns, its connections, and the end of instances.
    fn runtime(&self) -> &Handle;

    /// The level that is logged now: 0 off, 1 error, 2 warn, 3 info, 4 debug, 5 trace. Plugins read it before they make a
    /// message.
    fn log_level(&self) -> &AtomicU32;

    /// Writes a log line.
    fn log(&self, level: Level, message: &str, fields: Option<Value>);

    /// Starts a span below `traceparent`; 0 when it is not sampled.
    fn span_start(&self, _traceparent: &str, _name: &str, _attributes: Option<Value>) -> u64 {
        0
    }

    /// Adds attributes to a span.
    fn span_attributes(&self, _span: u64, _attributes: Value) {}

    /// Links a span to another one's `traceparent`.
    fn span_link(&self, _span: u64, _traceparent: &str) {}

    /// Ends a span; with the code of what failed.
    fn span_end(&self, _span: u64, _failed: Option<Code>) {}

    /// Registers a metric; 0 when it is refused.
    fn metric_register(&self, _kind: MetricKind, _name: &str, _help: &str, _labels: Option<Value>) -> u64 {
        0
    }

    /// Counter: adds. Gauge: sets. Histogram: records.
    fn metric_record(&self, _metric: u64, _value: f64) {}

    /// The plugin's allocator took (positive) or gave back (negative) so many bytes.
    fn allocated(&self, _bytes: i64) {}

    /// The instance is of no use any more, and will be made again.
    fn crashed(&self, _cause: Crash) {}
}

/// Why an instance is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Crash {
    /// Its plugin panicked.
    Panic,
    /// It could not be made.
    Create,
}

impl Crash {
    /// Every cause.
    pub const ALL: [Self; 2] = [Self::Panic, Self::Create];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Create => "create",
        }
    }
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Level {
    /// Something failed.
    Error = 1,
    /// Something may fail soon.
    Warn = 2,
    /// Something happened.
    Info = 3,
    /// For who looks into the plugin.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

impl Level {
    /// The level of a number from the boundary; what is not known counts as the finest.
    pub const fn from_number(number: u32) -> Self {
        match number {
            0 | 1 => Self::Error,
            2 => Self::Warn,
            3 => Self::Info,
            4 => Self::Debug,
            _ => Self::Trace,
        }
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Kinds of metric that a plugin registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution, in seconds.
    Histogram,
}

impl MetricKind {
    /// The kind of a number from the boundary.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            METRIC_COUNTER => Some(Self::Counter),
            METRIC_GAUGE => Some(Self::Gauge),
            METRIC_HISTOGRAM => Some(Self::Histogram),
            _ => None,
        }
    }
}
