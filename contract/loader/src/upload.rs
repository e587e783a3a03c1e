//! Items that go to a plugin: a stream whose producer is the host.

use crate::CallError;
use crate::ffi::owned_bytes;
use bytes::Bytes;
use chassis_abi::call::{END, FLAG_MAYBE_APPLIED, FLAG_RETRYABLE, PENDING, READY};
use chassis_abi::code::ErrorDocument;
use chassis_abi::waker::with_waker;
use chassis_abi::{ChassisOutcome, ChassisStream, ChassisWaker, Code};
use std::collections::VecDeque;
use std::error::Error;
use std::ffi::c_void;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// The items of one call, to be put into [`crate::Call::upload`].
pub struct Upload(Option<Arc<Channel>>);

/// Where the items of an upload come from. Dropped without [`UploadSender::finish`] the plugin is told `cancelled`, so that
/// half an upload never looks like a whole one.
pub struct UploadSender(Arc<Channel>);

/// The plugin takes no more items: its call has ended, or was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadClosed;

impl Upload {
    /// Both ends of an upload.
    pub fn channel() -> (UploadSender, Upload) {
        let channel = Arc::new(Channel(Mutex::default()));
        (UploadSender(Arc::clone(&channel)), Upload(Some(channel)))
    }

    pub(crate) fn into_raw(mut self) -> ChassisStream {
        let Some(channel) = self.0.take() else { return ChassisStream::NONE };
        ChassisStream {
            data: Arc::into_raw(channel).cast_mut().cast(),
            poll_next: Some(poll_next),
            grant: Some(grant),
            drop: Some(close),
        }
    }
}

impl UploadSender {
    /// Waits until the plugin allows one more item, and gives it one: JSON, and a raw attachment.
    ///
    /// # Errors
    /// [`UploadClosed`] when the plugin takes no more. The call's own result says why.
    pub async fn send(&mut self, json: Bytes, raw: Bytes) -> Result<(), UploadClosed> {
        poll_fn(|cx| {
            let mut state = self.0.lock();
            if state.closed {
                return Poll::Ready(Err(UploadClosed));
            }
            if state.credits == 0 {
                state.producer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            state.credits -= 1;
            Poll::Ready(Ok(()))
        })
        .await?;
        self.0.update(|state| state.items.push_back((json, raw)));
        Ok(())
    }

    /// Says that this was all.
    pub fn finish(self) {
        self.0.update(|state| state.end = Some(Ok(())));
    }

    /// Tells the plugin that the rest will not come, and why.
    pub fn fail(self, error: CallError) {
        self.0.update(|state| state.end = Some(Err(error)));
    }

    /// Waits until the plugin takes no more items.
    pub async fn closed(&mut self) {
        poll_fn(|cx| {
            let mut state = self.0.lock();
            if state.closed {
                return Poll::Ready(());
            }
            state.producer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

struct Channel(Mutex<State>);

#[derive(Default)]
struct State {
    items: VecDeque<(Bytes, Bytes)>,
    credits: u64,
    end: Option<Result<(), CallError>>,
    closed: bool,
    producer: Option<Waker>,
    consumer: Option<Waker>,
}

impl Channel {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something for the consumer, who is woken after the lock is given back.
    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let consumer = state.consumer.take();
        drop(state);
        consumer.into_iter().for_each(Waker::wake);
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let (items, producer) = (std::mem::take(&mut state.items), state.producer.take());
        drop(state);
        drop(items);
        producer.into_iter().for_each(Waker::wake);
    }
}

impl Drop for UploadSender {
    fn drop(&mut self) {
        self.0.update(|state| {
            let given_up = || Err(CallError::new(Code::Cancelled, "the upload was given up"));
            state.end.get_or_insert_with(given_up);
        });
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(channel) = &self.0 {
            channel.close();
        }
    }
}

fn failed(error: CallError) -> ChassisOutcome {
    let flag = |set, flag| if set { flag } else { 0 };
    let flags = flag(error.retryable, FLAG_RETRYABLE) | flag(error.maybe_applied, FLAG_MAYBE_APPLIED);
    let document = ErrorDocument {
        message: error.message,
        causes: error.causes,
        status: error.status,
        retry_after_ms: error.retry_after.map(|after| after.as_millis() as u64),
        field: error.field,
    };
    let json = serde_json::to_vec(&document).unwrap_or_default();
    ChassisOutcome { code: error.code as u32, flags, json: owned_bytes(json.into()), ..ChassisOutcome::EMPTY }
}

// SAFETY of the slots below: `data` is the Arc that `into_raw` gave away, until `close`; waker and `out` live for the call.

unsafe extern "C" fn poll_next(
    data: *mut c_void,
    waker: *const ChassisWaker,
    out: *mut ChassisOutcome,
) -> u32 {
    // SAFETY: see above.
    let channel = unsafe { &*data.cast_const().cast::<Channel>() };
    let mut state = channel.lock();
    let outcome = if let Some((json, raw)) = state.items.pop_front() {
        ChassisOutcome { json: owned_bytes(json), raw: owned_bytes(raw), ..ChassisOutcome::EMPTY }
    } else {
        match state.end.take() {
            None => {
                // SAFETY: see above.
                state.consumer = Some(unsafe { with_waker(waker, Waker::clone) });
                return PENDING;
            }
            Some(Ok(())) => {
                state.end = Some(Ok(()));
                return END;
            }
            Some(Err(error)) => {
                state.end = Some(Ok(()));
                failed(error)
            }
        }
    };
    // SAFETY: see above.
    unsafe { out.write(outcome) };
    READY
}

unsafe extern "C" fn grant(data: *mut c_void, credits: u32) {
    // SAFETY: see above.
    let channel = unsafe { &*data.cast_const().cast::<Channel>() };
    let mut state = channel.lock();
    state.credits += u64::from(credits);
    let producer = state.producer.take();
    drop(state);
    producer.into_iter().for_each(Waker::wake);
}

unsafe extern "C" fn close(data: *mut c_void) {
    // SAFETY: see above; given back once.
    unsafe { Arc::from_raw(data.cast_const().cast::<Channel>()) }.close();
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upload")
    }
}

impl fmt::Debug for UploadSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UploadSender")
    }
}

impl fmt::Display for UploadClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the plugin takes no more items")
    }
}

impl Error for UploadClosed {}
