//! Calls as futures that the host polls.

use super::bytes::owned;
use super::env::At;
use super::outcome::{failure, panicked, success};
use super::stream::stream;
use crate::Error;
use crate::instance::Shared;
use crate::stream::{Items, Producer};
use chassis_abi::call::{PENDING, READY};
use chassis_abi::{ChassisFuture, ChassisOutcome, ChassisWaker, waker};
use pin_project_lite::pin_project;
use serde::Serialize;
use std::ffi::c_void;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

/// A call's future: polled with the instance's runtime entered, its panics caught.
struct Op<F> {
    at: At,
    // `None` once it has ended: it is dropped in its last poll, so that the runtime is entered once.
    future: Option<F>,
}

/// Begins an operation that answers with JSON.
pub fn begin_unary<F, O>(at: At, future: F) -> ChassisFuture
where
    F: Future<Output = Result<O, Error>> + Send + 'static,
    O: Serialize,
{
    begin(at, Answer { future, outcome: |output: O| success(&output, None) })
}

/// Begins an operation that answers with JSON and a raw attachment.
pub fn begin_raw<F, O>(at: At, future: F) -> ChassisFuture
where
    F: Future<Output = Result<(O, Vec<u8>), Error>> + Send + 'static,
    O: Serialize,
{
    begin(at, Answer { future, outcome: |(output, raw): (O, Vec<u8>)| success(&output, Some(raw)) })
}

/// Begins an operation that answers with raw bytes and no JSON.
pub fn begin_bytes<F>(at: At, future: F) -> ChassisFuture
where
    F: Future<Output = Result<Vec<u8>, Error>> + Send + 'static,
{
    begin(at, Answer { future, outcome: |raw| ChassisOutcome { raw: owned(raw), ..ChassisOutcome::EMPTY } })
}

/// Begins an operation that answers with a stream.
pub fn begin_stream<I, T, M, F>(at: At, input: Result<I, Error>, make: M) -> ChassisFuture
where
    I: Send + 'static,
    T: Serialize + Send + 'static,
    M: FnOnce(I, Items<T>) -> F + Send + 'static,
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    begin(at, async move {
        match input {
            Ok(input) => {
                let (items, queue) = Items::new();
                let producer = Box::new(Producer::new(make(input, items), queue));
                ChassisOutcome { stream: stream(at, producer), ..ChassisOutcome::EMPTY }
            }
            Err(error) => failure(error),
        }
    })
}

pin_project! {
    /// What an operation answers, as an outcome. Written by hand, as an async block would hold the future twice and copy it.
    struct Answer<F, O> {
        #[pin]
        future: F,
        outcome: O,
    }
}

impl<F, T, O> Future for Answer<F, O>
where
    F: Future<Output = Result<T, Error>>,
    O: Fn(T) -> ChassisOutcome,
{
    type Output = ChassisOutcome;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<ChassisOutcome> {
        let this = self.project();
        this.future.poll(context).map(|answer| match answer {
            Ok(output) => (this.outcome)(output),
            Err(error) => failure(error),
        })
    }
}

/// Boxes a future for the host.
pub(crate) fn begin<F: Future<Output = ChassisOutcome> + Send>(at: At, future: F) -> ChassisFuture {
    let data = Box::into_raw(Box::new(Op { at, future: Some(future) }));
    ChassisFuture { data: data.cast(), poll: Some(poll::<F>), drop: Some(drop_future::<F>) }
}

unsafe extern "C" fn poll<F: Future<Output = ChassisOutcome>>(
    data: *mut c_void,
    waker: *const ChassisWaker,
    out: *mut ChassisOutcome,
) -> u32 {
    // SAFETY: `data` is ours (begin), and nobody else polls or drops it now.
    let op = unsafe { &mut *data.cast::<Op<F>>() };
    let (shared, future) = (op.at.shared(), &mut op.future);
    // SAFETY: the waker is lent for this poll.
    let polled = unsafe {
        guarded(shared, waker, |context| {
            let Some(running) = future.as_mut() else { return Poll::Ready(after_its_end()) };
            // SAFETY: the future is boxed, never moved, and dropped in place.
            let polled = Pin::new_unchecked(running).poll(context);
            if polled.is_ready() {
                *future = None;
            }
            polled
        })
    };
    match polled {
        Poll::Pending => PENDING,
        Poll::Ready(outcome) => {
            // SAFETY: `out` may be written.
            unsafe { out.write(outcome) };
            READY
        }
    }
}

unsafe extern "C" fn drop_future<F>(data: *mut c_void) {
    // SAFETY: `data` is ours (begin), and given back once.
    let op = unsafe { Box::from_raw(data.cast::<Op<F>>()) };
    if op.future.is_some() {
        drop_guarded(op.at, op);
    }
}

#[cold]
fn after_its_end() -> ChassisOutcome {
    failure(Error::internal("the host polled a call after its end"))
}

/// Polls with the instance's runtime entered; a panic poisons the instance.
///
/// # Safety
/// `waker` is lent for this call.
pub(super) unsafe fn guarded(
    shared: &Shared,
    waker: *const ChassisWaker,
    poll: impl FnOnce(&mut TaskContext<'_>) -> Poll<ChassisOutcome>,
) -> Poll<ChassisOutcome> {
    let _runtime = shared.runtime.enter();
    // SAFETY: the caller's promise.
    let polled = catch_unwind(AssertUnwindSafe(|| unsafe {
        waker::with_waker(waker, |waker| poll(&mut TaskContext::from_waker(waker)))
    }));
    polled.unwrap_or_else(|panic| {
        shared.poison();
        Poll::Ready(panicked(&*panic))
    })
}

/// Drops with the runtime entered; a panic poisons the instance.
pub(super) fn drop_guarded<T>(at: At, value: T) {
    let shared = at.shared();
    let _runtime = shared.runtime.enter();
    if catch_unwind(AssertUnwindSafe(|| drop(value))).is_err() {
        shared.poison();
    }
}
