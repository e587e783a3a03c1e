//! The host's table of one instance: [`HostServices`] as C sees them.
//!
//! The table is in an `Arc` that the instance, each task and each connection hold, so that a plugin's future that is dropped
//! late finds it alive.

use crate::ffi::{RawFuture, slice};
use crate::{HostServices, Level, MetricKind, io};
use chassis_abi::{
    ABI_MAJOR, ABI_MINOR, ChassisFuture, ChassisHost, ChassisIo, ChassisTask, Code, HostBytes, PluginBytes,
};
use serde_json::Value;
use std::borrow::Cow;
use std::ffi::c_void;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub(crate) struct HostTable {
    table: ChassisHost,
    services: Arc<dyn HostServices>,
    _name: Box<str>,
    // `None` when the instance is destroyed.
    tasks: Mutex<Option<Vec<AbortHandle>>>,
    gone: watch::Sender<()>,
}

impl HostTable {
    pub(crate) fn new(name: &str, services: Arc<dyn HostServices>) -> Arc<Self> {
        let name = Box::<str>::from(name);
        Arc::new_cyclic(|this: &Weak<Self>| Self {
            table: ChassisHost {
                struct_size: size_of::<ChassisHost>() as u32,
                abi_major: ABI_MAJOR,
                abi_minor: ABI_MINOR,
                ctx: this.as_ptr().cast_mut().cast(),
                instance: HostBytes::lend(name.as_bytes()),
                log_level: services.log_level().as_ptr(),
                log: Some(log),
                spawn: Some(spawn),
                connect: Some(connect),
                span_start: Some(span_start),
                span_attributes: Some(span_attributes),
                span_link: Some(span_link),
                span_end: Some(span_end),
                metric_register: Some(metric_register),
                metric_record: Some(metric_record),
                allocated: Some(allocated),
            },
            services,
            _name: name,
            tasks: Mutex::new(Some(Vec::new())),
            gone: watch::Sender::new(()),
        })
    }

    pub(crate) fn table(&self) -> &ChassisHost {
        &self.table
    }

    pub(crate) fn runtime(&self) -> &Handle {
        self.services.runtime()
    }

    pub(crate) fn services(&self) -> &dyn HostServices {
        &*self.services
    }

    /// Closed when this is dropped.
    pub(crate) fn gone(&self) -> watch::Receiver<()> {
        self.gone.subscribe()
    }

    /// Aborts what the instance left running, and takes no more.
    pub(crate) fn shut(&self) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        tasks.into_iter().flatten().for_each(|task| task.abort());
    }

    fn spawn(self: Arc<Self>, future: RawFuture) -> ChassisTask {
        let task = Task { future, _host: Arc::clone(&self) };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tasks) = tasks.as_mut() else {
            return ChassisTask { data: std::ptr::null_mut(), abort: None };
        };
        let handle = self.runtime().spawn(task).abort_handle();
        if tasks.len() == tasks.capacity() {
            tasks.retain(|task| !task.is_finished());
        }
        tasks.push(handle.clone());
        ChassisTask { data: Box::into_raw(Box::new(handle)).cast(), abort: Some(abort) }
    }
}

/// A plugin's future on the host's runtime. The future is dropped before the table that it may use.
struct Task {
    future: RawFuture,
    _host: Arc<HostTable>,
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.future.poll(cx).map(drop)
    }
}

/// Runs one slot. `ctx` is the table's; a panic of the host's services stays on the host's side.
///
/// # Safety
/// `ctx` comes from a table that is alive.
unsafe fn slot<T>(ctx: *mut c_void, fallback: T, run: impl FnOnce(&HostTable) -> T) -> T {
    // SAFETY: `ctx` was made from the Arc's own pointer, and the caller vouches that it is alive.
    let host = unsafe { &*ctx.cast_const().cast::<HostTable>() };
    catch_unwind(AssertUnwindSafe(|| run(host))).unwrap_or(fallback)
}

/// # Safety
/// As for [`slot`].
unsafe fn shared(ctx: *mut c_void) -> Arc<HostTable> {
    let host = ctx.cast_const().cast::<HostTable>();
    // SAFETY: the pointer is that of an Arc that somebody holds now.
    unsafe {
        Arc::increment_strong_count(host);
        Arc::from_raw(host)
    }
}

/// # Safety
/// The bytes are lent for `'a`, as every slot's are for its call.
unsafe fn text<'a>(bytes: PluginBytes) -> Cow<'a, str> {
    // SAFETY: as the caller vouches.
    String::from_utf8_lossy(unsafe { slice(bytes.ptr, bytes.len) })
}

/// A JSON object, or none; what is no JSON becomes a string.
///
/// # Safety
/// As for [`text`].
unsafe fn json(bytes: PluginBytes) -> Option<Value> {
    // SAFETY: as the caller vouches.
    let bytes = unsafe { slice(bytes.ptr, bytes.len) };
    if bytes.is_empty() {
        return None;
    }
    let unreadable = |_| serde_json::json!({ "unreadable": String::from_utf8_lossy(bytes) });
    Some(serde_json::from_slice(bytes).unwrap_or_else(unreadable))
}

// SAFETY of the slots below: the boundary says that `ctx` is the table's, and that arguments live for the call.

unsafe extern "C" fn log(ctx: *mut c_void, level: u32, message: PluginBytes, fields: PluginBytes) {
    // SAFETY: see above.
    unsafe {
        slot(ctx, (), |host| host.services.log(Level::from_number(level), &text(message), json(fields)));
    }
}

unsafe extern "C" fn spawn(ctx: *mut c_void, future: ChassisFuture) -> ChassisTask {
    let future = RawFuture::new(future);
    // SAFETY: see above.
    unsafe { shared(ctx) }.spawn(future)
}

unsafe extern "C" fn abort(data: *mut c_void) {
    // SAFETY: made in `spawn`, and given back once.
    let handle = unsafe { Box::from_raw(data.cast::<AbortHandle>()) };
    handle.abort();
}

unsafe extern "C" fn connect(ctx: *mut c_void, address: PluginBytes) -> ChassisIo {
    // SAFETY: see above.
    unsafe { io::connect(shared(ctx), &text(address)) }
}

unsafe extern "C" fn span_start(
    ctx: *mut c_void,
    traceparent: PluginBytes,
    name: PluginBytes,
    attributes: PluginBytes,
) -> u64 {
    // SAFETY: see above.
    unsafe {
        slot(ctx, 0, |host| host.services.span_start(&text(traceparent), &text(name), json(attributes)))
    }
}

unsafe extern "C" fn span_attributes(ctx: *mut c_void, span: u64, attributes: PluginBytes) {
    // SAFETY: see above.
    unsafe {
        slot(ctx, (), |host| {
            if let Some(attributes) = json(attributes) {
                host.services.span_attributes(span, attributes);
            }
        });
    }
}

unsafe extern "C" fn span_link(ctx: *mut c_void, span: u64, traceparent: PluginBytes) {
    // SAFETY: see above.
    unsafe { slot(ctx, (), |host| host.services.span_link(span, &text(traceparent))) }
}

unsafe extern "C" fn span_end(ctx: *mut c_void, span: u64, code: u32) {
    let failed = (code != 0).then(|| Code::from_number(code));
    // SAFETY: see above.
    unsafe { slot(ctx, (), |host| host.services.span_end(span, failed)) }
}

unsafe extern "C" fn metric_register(
    ctx: *mut c_void,
    kind: u32,
    name: PluginBytes,
    help: PluginBytes,
    labels: PluginBytes,
) -> u64 {
    let Some(kind) = MetricKind::from_number(kind) else { return 0 };
    // SAFETY: see above.
    unsafe {
        slot(ctx, 0, |host| host.services.metric_register(kind, &text(name), &text(help), json(labels)))
    }
}

unsafe extern "C" fn metric_record(ctx: *mut c_void, metric: u64, value: f64) {
    // SAFETY: see above.
    unsafe { slot(ctx, (), |host| host.services.metric_record(metric, value)) }
}

unsafe extern "C" fn allocated(ctx: *mut c_void, bytes: i64) {
    // SAFETY: see above.
    unsafe { slot(ctx, (), |host| host.services.allocated(bytes)) }
}
