//! One call, and what it answers.

use crate::error::CallError;
use crate::ffi::{CallMemory, Owned, RawFuture, RawOutcome};
use crate::instance::Inner;
use crate::{ItemStream, Upload};
use bytes::Bytes;
use chassis_abi::Code;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// One use of an operation.
#[derive(Debug, Default)]
pub struct Call {
    /// Position of the operation in the manifest.
    pub operation: u32,
    /// Input as JSON; empty means `{}`.
    pub json: Bytes,
    /// Raw attachment.
    pub raw: Bytes,
    /// W3C `traceparent` of the caller's span.
    pub traceparent: Option<Arc<str>>,
    /// W3C `tracestate`.
    pub tracestate: Option<Arc<str>>,
    /// Key under which a repeated call must not take effect twice.
    pub idempotency_key: Option<Arc<str>>,
    /// On whose behalf.
    pub tenant: Option<Arc<str>>,
    /// Told to the plugin. Enforcing it, by dropping the future, is the caller's.
    pub deadline: Option<SystemTime>,
    /// Items that go to the plugin.
    pub upload: Option<Upload>,
    /// Has the time that is spent in the plugin's code added up, in nanoseconds; of a call that waits, only that of its polls.
    pub clock: Option<Arc<AtomicU64>>,
}

impl Call {
    /// A call with a JSON input and nothing else.
    pub fn new(operation: u32, json: impl Into<Bytes>) -> Self {
        Self { operation, json: json.into(), ..Self::default() }
    }

    pub(crate) fn deadline_unix_ns(&self) -> u64 {
        let Some(deadline) = self.deadline else { return 0 };
        // One nanosecond, for a deadline before 1970: 0 would mean none.
        deadline
            .duration_since(UNIX_EPOCH)
            .map_or(1, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// What an operation answered. The bytes are the plugin's own, given back when this is dropped.
pub struct Reply {
    outcome: RawOutcome,
    /// Items that follow, of an operation with a stream.
    pub stream: Option<ItemStream>,
}

impl Reply {
    /// The output as JSON; may be empty.
    pub fn json(&self) -> &[u8] {
        self.outcome.json()
    }

    /// The raw attachment; may be empty.
    pub fn raw(&self) -> &[u8] {
        self.outcome.raw()
    }

    /// JSON and raw attachment as [`Bytes`], without a copy.
    pub fn into_bytes(self) -> (Bytes, Bytes) {
        let (json, raw) = self.outcome.into_parts();
        (into_bytes(json), into_bytes(raw))
    }

    /// A reply that the host makes of another: an item of a batch's.
    pub fn of_json(json: impl Into<Bytes>) -> Self {
        Self::new(RawOutcome::of_json(json.into()))
    }

    #[inline]
    pub(crate) fn new(outcome: RawOutcome) -> Self {
        Self { outcome, stream: None }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = String::from_utf8_lossy(self.json());
        f.debug_struct("Reply").field("json", &json).field("raw", &self.raw().len()).finish_non_exhaustive()
    }
}

pin_project! {
    /// A call under way. The plugin begins with the first poll; dropping this cancels it.
    ///
    /// Nothing is allocated for it, unless the operation answers with a stream: then its memory goes on with the stream.
    // Fields are dropped in this order: the plugin's future, the memory it borrows, the instance it works for.
    #[must_use = "a call does nothing until it is polled"]
    pub struct CallFuture {
        future: Option<RawFuture>,
        #[pin]
        memory: CallMemory,
        boxed: Option<Pin<Box<CallMemory>>>,
        target: Target,
        clock: Option<Arc<AtomicU64>>,
    }
}

enum Target {
    Instance(Arc<Inner>),
    Refused(Box<CallError>),
    Done,
}

impl CallFuture {
    #[inline]
    pub(crate) fn new(instance: Arc<Inner>, mut call: Call) -> Self {
        let (clock, target) = (call.clock.take(), Target::Instance(instance));
        Self { future: None, memory: CallMemory::new(call), boxed: None, target, clock }
    }

    /// A call that nobody takes.
    #[cold]
    pub(crate) fn refused(error: CallError) -> Self {
        let target = Target::Refused(Box::new(error));
        Self { future: None, memory: CallMemory::new(Call::default()), boxed: None, target, clock: None }
    }
}

impl Future for CallFuture {
    type Output = Result<Reply, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Target::Instance(instance) = &*this.target else {
            return Poll::Ready(Err(not_begun(this.target)));
        };
        let mut out = MaybeUninit::uninit();
        let begun = this.clock.as_ref().map(|_| Instant::now());
        let polled = match this.future {
            Some(future) => future.poll_into(cx, &mut out),
            None => match begin(instance, this.memory, this.boxed) {
                Ok(mut future) => {
                    let polled = future.poll_into(cx, &mut out);
                    // One that is ready at once is never put away.
                    if polled.is_pending() {
                        *this.future = Some(future);
                    }
                    polled
                }
                Err(error) => {
                    *this.target = Target::Done;
                    return Poll::Ready(Err(error));
                }
            },
        };
        if let (Some(clock), Some(begun)) = (this.clock, begun) {
            clock.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
        let polled = ready!(polled);
        // The plugin's future goes first: its memory may now go with a stream.
        *this.future = None;
        let Target::Instance(instance) = std::mem::replace(this.target, Target::Done) else { unreachable!() };
        Poll::Ready(match polled {
            // SAFETY: the outcome is written, as `poll_into` says.
            Ok(()) => finish(instance, this.boxed, unsafe { out.assume_init() }),
            Err(defect) => Err(defect.into()),
        })
    }
}

#[inline]
fn begin<'a>(
    instance: &Arc<Inner>,
    inline: Pin<&'a mut CallMemory>,
    boxed: &'a mut Option<Pin<Box<CallMemory>>>,
) -> Result<RawFuture, CallError> {
    let (operation, upload) = (inline.operation(), inline.has_upload());
    if !instance.admits(operation, upload) {
        instance.refuses(operation, upload)?;
    }
    let memory = if instance.plugin().answers_with_stream(operation) {
        boxed.insert(Box::pin(CallMemory::new(inline.take()))).as_mut()
    } else {
        inline
    };
    // SAFETY: the memory is pinned in the CallFuture, whose fields are dropped in the order that this asks for; `finish` hands
    // it to the stream, or drops the stream at once.
    Ok(unsafe { memory.begin(instance.table(), instance.handle()) })
}

#[inline]
fn finish(
    instance: Arc<Inner>,
    memory: &mut Option<Pin<Box<CallMemory>>>,
    mut outcome: RawOutcome,
) -> Result<Reply, CallError> {
    if outcome.code() != 0 {
        return Err(instance.failed(&outcome));
    }
    let Some(stream) = outcome.take_stream() else { return Ok(Reply::new(outcome)) };
    let Some(memory) = memory.take() else {
        drop(stream);
        return Err(CallError::plugin_defect(
            "a stream from an operation whose manifest entry has no `item`",
        ));
    };
    Ok(Reply { stream: Some(ItemStream::new(stream, memory, instance)), ..Reply::new(outcome) })
}

#[cold]
fn not_begun(target: &mut Target) -> CallError {
    match std::mem::replace(target, Target::Done) {
        Target::Refused(error) => *error,
        _ => CallError::new(Code::Internal, "a call was polled after it had ended"),
    }
}

fn into_bytes(owned: Owned) -> Bytes {
    if owned.as_ref().is_empty() { Bytes::new() } else { Bytes::from_owner(owned) }
}
