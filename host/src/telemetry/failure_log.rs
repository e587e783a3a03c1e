//! A line for each call that failed, and not for each of thousands: a backend that is down is told of by a few lines, and then by one
//! summary a period.
//!
//! What the backend is at fault for is a warning; what the caller is, or what a policy refuses, is for who looks closer (`debug`), and
//! not held back. A full bulkhead is a warning too: nobody else tells the operator.

use super::metrics::Metrics;
use crate::error::CallFailure;
use chassis_abi::Code;
use metrics::Counter;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceId};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::Level;

/// Target of these lines, for filters: `chassis::call=debug` shows the callers' failures too.
pub const TARGET: &str = "chassis::call";

/// Lines of one instance in a period.
const LINES: u32 = 5;
/// How long a period is.
const PERIOD: Duration = Duration::from_secs(10);

/// The lines about the calls of one instance.
pub(crate) struct FailureLog {
    instance: Box<str>,
    suppressed: Counter,
    /// Writes the summaries; without one no line is held back.
    runtime: Option<Handle>,
    state: Mutex<State>,
}

/// The logs of all instances: operations of the same one share theirs.
#[derive(Default)]
pub(super) struct FailureLogs(Mutex<BTreeMap<String, Arc<FailureLog>>>);

struct State {
    /// When the period is over.
    until: Instant,
    written: u32,
    /// Summaries are being written: there are no other lines until a period goes by without a failure.
    summing: bool,
    held: Held,
}

/// What was held back since the last summary.
#[derive(Default)]
struct Held {
    count: u64,
    codes: BTreeMap<&'static str, u64>,
    /// One of them, to be looked at.
    trace: Option<TraceId>,
}

/// A call that failed, as its line tells it.
pub(crate) struct FailedCall<'a> {
    pub operation: &'a str,
    pub failure: &'a CallFailure,
    pub context: &'a SpanContext,
    pub elapsed: Duration,
    pub attempts: u32,
}

impl FailureLogs {
    /// The log of an instance.
    pub fn of(&self, metrics: &Metrics, instance: &str) -> Arc<FailureLog> {
        let make = || {
            Arc::new(FailureLog {
                instance: instance.into(),
                suppressed: metrics.lines_suppressed(instance),
                runtime: Handle::try_current().ok(),
                state: Mutex::new(State {
                    until: Instant::now(),
                    written: 0,
                    summing: false,
                    held: Held::default(),
                }),
            })
        };
        self.lock().entry(instance.to_owned()).or_insert_with(make).clone()
    }

    /// Writes the summaries that are still to come.
    pub fn flush(&self) {
        let logs: Vec<_> = self.lock().values().cloned().collect();
        for log in logs {
            log.sum_up();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<FailureLog>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FailureLog {
    /// Writes the line of a call that failed, or counts it for the summary.
    #[cold]
    pub fn tell(self: &Arc<Self>, call: FailedCall<'_>) {
        let failure = call.failure;
        let warned = match failure.refused_by {
            Some(policy) => policy == "bulkhead",
            None => is_backends(failure.code()),
        };
        // The level of an event is static, hence one macro each.
        macro_rules! line {
            ($level:expr) => {
                if tracing::enabled!(target: TARGET, $level) && (!warned || self.admits(&call)) {
                    // The line belongs to the call's span, recorded or not.
                    let _call = Context::new().with_remote_span_context(call.context.clone()).attach();
                    tracing::event!(
                        target: TARGET,
                        $level,
                        instance = &*self.instance,
                        operation = call.operation,
                        code = failure.code().as_str(),
                        policy = failure.refused_by,
                        status = failure.error.status.as_deref(),
                        error = failure.error.message,
                        cause = failure.error.causes.first().map(String::as_str),
                        attempts = call.attempts,
                        ms = (call.elapsed.as_secs_f64() * 1e6).round() / 1e3,
                        "{}",
                        if failure.refused_by.is_some() { "call refused" } else { "call failed" }
                    );
                }
            };
        }
        if warned { line!(Level::WARN) } else { line!(Level::DEBUG) }
    }

    /// Whether a failure has a line of its own; if not, it is in the next summary.
    fn admits(self: &Arc<Self>, call: &FailedCall<'_>) -> bool {
        let Some(runtime) = &self.runtime else { return true };
        let mut state = self.lock();
        if !state.summing {
            let now = Instant::now();
            if now >= state.until {
                (state.until, state.written) = (now + PERIOD, 0);
            }
            if state.written < LINES {
                state.written += 1;
                return true;
            }
            state.summing = true;
            let log = self.clone();
            runtime.spawn(async move {
                tokio::time::sleep(PERIOD).await;
                while log.sum_up() {
                    tokio::time::sleep(PERIOD).await;
                }
            });
        }
        state.held.count += 1;
        *state.held.codes.entry(call.failure.code().as_str()).or_default() += 1;
        state.held.trace = Some(call.context.trace_id());
        self.suppressed.increment(1);
        false
    }

    /// Writes the summary of what was held back; false if that was nothing, and lines may be written again.
    fn sum_up(&self) -> bool {
        let held = {
            let mut state = self.lock();
            state.summing = state.held.count > 0;
            std::mem::take(&mut state.held)
        };
        let Held { count, codes, trace } = held;
        if count == 0 {
            return false;
        }
        let codes: Map<String, Value> =
            codes.iter().map(|(code, count)| ((*code).to_owned(), json!(count))).collect();
        let fields =
            json!({ "codes": codes, "last_trace_id": trace.map(|trace| trace.to_string()) }).to_string();
        tracing::warn!(
            target: TARGET,
            instance = &*self.instance,
            count,
            fields,
            "more calls failed: one line for all of them, until they fail no more"
        );
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a failure is the backend's fault, or that of its configuration, and so the operator's matter. The others are the caller's.
fn is_backends(code: Code) -> bool {
    match code {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Internal
        | Code::Unknown
        | Code::DataLoss
        | Code::Unauthenticated
        | Code::PermissionDenied
        | Code::Unimplemented => true,
        Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::propagation;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn admitted(log: &Arc<FailureLog>, times: usize) -> usize {
        let (failure, context) =
            (CallFailure::new(Code::Unavailable, "gone"), propagation::parse(TRACE, None));
        let call = FailedCall {
            operation: "get",
            failure: &failure,
            context: &context,
            elapsed: Duration::ZERO,
            attempts: 1,
        };
        (0..times).filter(|_| log.admits(&call)).count()
    }

    async fn periods(count: u32) {
        // A little more, so that the task that wakes then has run.
        tokio::time::sleep(PERIOD * count + Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_lines_and_then_a_summary_a_period_until_it_is_over() {
        let metrics = Metrics::new();
        let logs = FailureLogs::default();
        let log = logs.of(&metrics, "sessions");
        assert!(Arc::ptr_eq(&log, &logs.of(&metrics, "sessions")));
        let suppressed = |count: u64| {
            let line = format!("chassis_log_lines_suppressed_total{{name=\"sessions\"}} {count}\n");
            assert!(metrics.render().contains(&line), "{line}{}", metrics.render());
        };
        suppressed(0);
        assert_eq!(admitted(&log, 3), 3);
        periods(1).await;
        assert_eq!(admitted(&log, 100), LINES as usize, "a period is by itself as long as little fails");
        suppressed(95);
        periods(1).await;
        assert_eq!(log.lock().held.count, 0, "it was summed up");
        assert_eq!(admitted(&log, 10), 0, "it goes on, and has no lines of its own");
        assert_eq!(log.lock().held.codes["unavailable"], 10);
        assert_eq!(log.lock().held.trace.unwrap().to_string(), TRACE[3..35]);
        periods(2).await;
        assert_eq!(admitted(&log, 1), 1, "a period without a failure ended it");
        suppressed(105);
    }
}
