//! What the host offers to an instance. Every slot is optional: a plugin must do without one that is null or lies beyond
//! `struct_size`.

use crate::{ChassisFuture, ChassisWaker, HostBytes, PluginBytes};
use std::ffi::c_void;

/// The host's table, one for each instance; lives until the instance's `destroy` has returned.
#[repr(C)]
pub struct ChassisHost {
    /// Size of this table in bytes, as the host was compiled.
    pub struct_size: u32,
    /// The host's [`crate::ABI_MAJOR`].
    pub abi_major: u16,
    /// The host's [`crate::ABI_MINOR`].
    pub abi_minor: u16,
    /// The host's state, first argument of every slot.
    pub ctx: *mut c_void,
    /// The instance's name.
    pub instance: HostBytes,
    /// The current log level, to be read atomically (relaxed) before a message is made: 0 off, 1 error, 2 warn, 3 info,
    /// 4 debug, 5 trace.
    pub log_level: *const u32,
    /// Writes a log line. `fields` is a JSON object or empty.
    pub log:
        Option<unsafe extern "C" fn(ctx: *mut c_void, level: u32, message: PluginBytes, fields: PluginBytes)>,
    /// Runs a future on the host's own threads: for I/O made by `connect`, so that no thread is crossed on a call's way.
    /// The outcome is ignored.
    pub spawn: Option<unsafe extern "C" fn(ctx: *mut c_void, future: ChassisFuture) -> ChassisTask>,
    /// Connects to `host:port` or, with a leading `/`, to a Unix socket, on the host's event loop. Answers at once; a failure
    /// to connect is seen by the first read or write.
    pub connect: Option<unsafe extern "C" fn(ctx: *mut c_void, address: PluginBytes) -> ChassisIo>,
    /// Starts a span below `traceparent` and returns its handle, 0 when it is not sampled. `attributes` is a JSON object.
    pub span_start: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            traceparent: PluginBytes,
            name: PluginBytes,
            attributes: PluginBytes,
        ) -> u64,
    >,
    /// Adds attributes (a JSON object) to a span.
    pub span_attributes: Option<unsafe extern "C" fn(ctx: *mut c_void, span: u64, attributes: PluginBytes)>,
    /// Links a span to another one's `traceparent`.
    pub span_link: Option<unsafe extern "C" fn(ctx: *mut c_void, span: u64, traceparent: PluginBytes)>,
    /// Ends a span; `code` is 0 or a [`crate::Code`].
    pub span_end: Option<unsafe extern "C" fn(ctx: *mut c_void, span: u64, code: u32)>,
    /// Registers a metric and returns its handle, 0 when it is refused. `kind` is a `METRIC_*`; `labels` is a JSON object of
    /// strings. The label `name` (the instance) is the host's.
    pub metric_register: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            kind: u32,
            name: PluginBytes,
            help: PluginBytes,
            labels: PluginBytes,
        ) -> u64,
    >,
    /// Counter: adds. Gauge: sets. Histogram: records.
    pub metric_record: Option<unsafe extern "C" fn(ctx: *mut c_void, metric: u64, value: f64)>,
    /// Tells how many bytes the instance's allocator took (positive) or gave back (negative).
    pub allocated: Option<unsafe extern "C" fn(ctx: *mut c_void, bytes: i64)>,
}

/// `metric_register`: a counter.
pub const METRIC_COUNTER: u32 = 1;
/// `metric_register`: a gauge.
pub const METRIC_GAUGE: u32 = 2;
/// `metric_register`: a histogram, in seconds.
pub const METRIC_HISTOGRAM: u32 = 3;

/// A future that the host runs.
#[repr(C)]
pub struct ChassisTask {
    /// The host's state; null when the future was refused (and dropped).
    pub data: *mut c_void,
    /// Cancels the task if it still runs and gives the handle back. The future is dropped soon, on a thread of the host.
    pub abort: Option<unsafe extern "C" fn(data: *mut c_void)>,
}

/// `poll_*` of [`ChassisIo`] answers: not yet, the waker will be called. Other negative numbers are an `errno`, negated.
pub const IO_PENDING: isize = isize::MIN;

/// A byte stream on the host's event loop. One reader and one writer at a time, from any thread.
#[repr(C)]
pub struct ChassisIo {
    /// The host's state; null when nothing is there.
    pub data: *mut c_void,
    /// Reads at most `len` bytes; 0 is the end.
    pub poll_read: Option<
        unsafe extern "C" fn(
            data: *mut c_void,
            waker: *const ChassisWaker,
            buffer: *mut u8,
            len: usize,
        ) -> isize,
    >,
    /// Writes at most `len` bytes.
    pub poll_write: Option<
        unsafe extern "C" fn(
            data: *mut c_void,
            waker: *const ChassisWaker,
            buffer: *const u8,
            len: usize,
        ) -> isize,
    >,
    /// Flushes; 0 when done.
    pub poll_flush: Option<unsafe extern "C" fn(data: *mut c_void, waker: *const ChassisWaker) -> isize>,
    /// Shuts the writing side down; 0 when done.
    pub poll_shutdown: Option<unsafe extern "C" fn(data: *mut c_void, waker: *const ChassisWaker) -> isize>,
    /// Closes.
    pub drop: Option<unsafe extern "C" fn(data: *mut c_void)>,
}

// SAFETY: the slots may be called from any thread, and the table is immutable.
unsafe impl Sync for ChassisHost {}
// SAFETY: as above.
unsafe impl Send for ChassisHost {}
// SAFETY: a task may be aborted from any thread.
unsafe impl Send for ChassisTask {}
// SAFETY: `abort` takes the task by value; a shared reference can do nothing.
unsafe impl Sync for ChassisTask {}
// SAFETY: see the struct: any thread, one reader and one writer at a time.
unsafe impl Send for ChassisIo {}
