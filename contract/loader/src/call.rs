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
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

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
    json: Owned,
    raw: Owned,
    /// Items that follow, of an operation with a stream.
    pub stream: Option<ItemStream>,
}

impl Reply {
    /// The output as JSON; may be empty.
    pub fn json(&self) -> &[u8] {
        self.json.as_slice()
    }

    /// The raw attachment; may be empty.
    pub fn raw(&self) -> &[u8] {
        self.raw.as_slice()
    }

    /// JSON and raw attachment as [`Bytes`], without a copy.
    pub fn into_bytes(self) -> (Bytes, Bytes) {
        (into_bytes(self.json), into_bytes(self.raw))
    }

    pub(crate) fn new(outcome: RawOutcome) -> Self {
        Self { json: outcome.json, raw: outcome.raw, stream: None }
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
        memory: Memory,
        target: Target,
    }
}

pin_project! {
    #[project = MemoryPin]
    enum Memory {
        Inline { #[pin] memory: CallMemory },
        Boxed { memory: Option<Pin<Box<CallMemory>>> },
    }
}

enum Target {
    Instance(Arc<Inner>),
    Refused(Box<CallError>),
    Done,
}

impl CallFuture {
    pub(crate) fn new(instance: Arc<Inner>, call: Call) -> Self {
        let streams = instance.plugin().answers_with_stream(call.operation);
        let memory = CallMemory::new(call);
        let memory = if streams {
            Memory::Boxed { memory: Some(Box::pin(memory)) }
        } else {
            Memory::Inline { memory }
        };
        Self { future: None, memory, target: Target::Instance(instance) }
    }

    /// A call that nobody takes.
    pub(crate) fn refused(error: CallError) -> Self {
        Self {
            future: None,
            memory: Memory::Boxed { memory: None },
            target: Target::Refused(Box::new(error)),
        }
    }
}

impl Future for CallFuture {
    type Output = Result<Reply, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut memory = this.memory;
        let Target::Instance(instance) = &*this.target else {
            return Poll::Ready(Err(not_begun(this.target)));
        };
        let future = match this.future {
            Some(future) => future,
            None => match begin(instance, memory.as_mut()) {
                Ok(future) => this.future.insert(future),
                Err(error) => {
                    *this.target = Target::Done;
                    return Poll::Ready(Err(error));
                }
            },
        };
        let outcome = ready!(future.poll(cx));
        // The plugin's future goes first: the memory below may now go with a stream.
        *this.future = None;
        let Target::Instance(instance) = std::mem::replace(this.target, Target::Done) else { unreachable!() };
        Poll::Ready(finish(instance, memory, outcome))
    }
}

fn begin(instance: &Arc<Inner>, memory: Pin<&mut Memory>) -> Result<RawFuture, CallError> {
    let memory = match memory.project() {
        MemoryPin::Inline { memory } => memory,
        MemoryPin::Boxed { memory: Some(memory) } => memory.as_mut(),
        MemoryPin::Boxed { memory: None } => unreachable!("only a refused call has no memory"),
    };
    instance.admits(memory.operation(), memory.has_upload())?;
    // SAFETY: the memory is pinned in the CallFuture, whose fields are dropped in the order that this asks for; `finish` hands
    // it to the stream, or drops the stream at once.
    Ok(unsafe { memory.begin(instance.table(), instance.handle()) })
}

fn finish(
    instance: Arc<Inner>,
    memory: Pin<&mut Memory>,
    outcome: Result<RawOutcome, CallError>,
) -> Result<Reply, CallError> {
    let mut outcome = outcome?;
    if outcome.code != 0 {
        return Err(instance.failed(&outcome));
    }
    let Some(stream) = outcome.stream.take() else { return Ok(Reply::new(outcome)) };
    let MemoryPin::Boxed { memory } = memory.project() else {
        drop(stream);
        return Err(CallError::plugin_defect(
            "a stream from an operation whose manifest entry has no `item`",
        ));
    };
    let stream = ItemStream::new(stream, memory.take(), instance);
    Ok(Reply { stream: Some(stream), ..Reply::new(outcome) })
}

#[cold]
fn not_begun(target: &mut Target) -> CallError {
    match std::mem::replace(target, Target::Done) {
        Target::Refused(error) => *error,
        _ => CallError::new(Code::Internal, "a call was polled after it had ended"),
    }
}

fn into_bytes(owned: Owned) -> Bytes {
    if owned.as_slice().is_empty() { Bytes::new() } else { Bytes::from_owner(owned) }
}
