//! Streams across the boundary: a producer of ours for the host, an upload of the host's for us.

use super::env::At;
use super::future::{drop_guarded, guarded};
use crate::Error;
use crate::stream::Producer;
use chassis_abi::call::{END, PENDING, READY};
use chassis_abi::{ChassisOutcome, ChassisStream, ChassisWaker, waker};
use std::ffi::c_void;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

/// A producer's stream for the host.
struct Source<F> {
    at: At,
    producer: Box<Producer<F>>,
}

/// Hands a producer over.
pub(super) fn stream<F>(at: At, producer: Box<Producer<F>>) -> ChassisStream
where
    F: Future<Output = Result<(), Error>> + Send,
{
    let data = Box::into_raw(Box::new(Source { at, producer }));
    ChassisStream {
        data: data.cast(),
        poll_next: Some(poll_next::<F>),
        grant: Some(grant::<F>),
        drop: Some(drop_stream::<F>),
    }
}

unsafe extern "C" fn poll_next<F: Future<Output = Result<(), Error>>>(
    data: *mut c_void,
    waker: *const ChassisWaker,
    out: *mut ChassisOutcome,
) -> u32 {
    // SAFETY: `data` is ours (stream), and nobody else polls, grants or drops it now.
    let source = unsafe { &mut *data.cast::<Source<F>>() };
    let (shared, producer) = (source.at.shared(), &mut source.producer);
    let mut end = false;
    // SAFETY: the waker is lent for this poll.
    let polled = unsafe {
        guarded(shared, waker, |context| {
            // SAFETY: the producer is boxed and never moved.
            let next = Pin::new_unchecked(&mut **producer).poll_next(context);
            next.map(|next| {
                next.unwrap_or_else(|| {
                    end = true;
                    ChassisOutcome::EMPTY
                })
            })
        })
    };
    match polled {
        Poll::Pending => PENDING,
        Poll::Ready(_) if end => END,
        Poll::Ready(outcome) => {
            // SAFETY: `out` may be written.
            unsafe { out.write(outcome) };
            READY
        }
    }
}

unsafe extern "C" fn grant<F>(data: *mut c_void, credits: u32) {
    // SAFETY: as in poll_next.
    unsafe { &*data.cast::<Source<F>>() }.producer.grant(credits);
}

unsafe extern "C" fn drop_stream<F>(data: *mut c_void) {
    // SAFETY: `data` is ours (stream), and given back once.
    let source = unsafe { Box::from_raw(data.cast::<Source<F>>()) };
    drop_guarded(source.at, source);
}

/// The next item of a stream that came with a call.
pub(crate) fn poll_stream_of_host(
    stream: &ChassisStream,
    context: &mut TaskContext<'_>,
) -> Poll<Option<ChassisOutcome>> {
    let Some(poll_next) = stream.poll_next else { return Poll::Ready(None) };
    let lent = waker::LentWaker::new(context.waker());
    let mut out = ChassisOutcome::EMPTY;
    // SAFETY: the stream is live, its one holder polls it, and waker and `out` are lent for the call.
    match unsafe { poll_next(stream.data, lent.as_ptr(), &raw mut out) } {
        PENDING => Poll::Pending,
        READY => Poll::Ready(Some(out)),
        _ => Poll::Ready(None),
    }
}

/// Allows more items of a stream that came with a call.
pub(crate) fn grant_stream_of_host(stream: &ChassisStream, credits: u32) {
    if let Some(grant) = stream.grant {
        // SAFETY: as in poll_stream_of_host.
        unsafe { grant(stream.data, credits) };
    }
}

/// Gives a stream that came with a call back.
pub(crate) fn drop_stream_of_host(stream: ChassisStream) {
    if let (Some(drop), false) = (stream.drop, stream.data.is_null()) {
        // SAFETY: given back once.
        unsafe { drop(stream.data) };
    }
}
