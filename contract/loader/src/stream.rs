//! Items that follow a reply.

use crate::ffi::{CallMemory, RawStream};
use crate::instance::Inner;
use crate::{CallError, Reply};
use futures_core::Stream;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The items of an operation that answers with a stream. The plugin sends as many as were granted, none at first. Dropping
/// this stops it. An error is the last item.
pub struct ItemStream(Option<Box<Live>>);

/// Sees the items of a stream as they are taken, for whoever measures. Dropped with the stream, whatever ended it.
pub trait StreamObserver: Send + Sync {
    /// An item is taken.
    fn item(&mut self, item: &Reply);
    /// The stream ends with this error.
    fn failed(&mut self, error: &CallError);
}

// Fields are dropped in this order: the plugin's stream, the memory that it borrows, the instance.
struct Live {
    stream: RawStream,
    _memory: Pin<Box<CallMemory>>,
    instance: Arc<Inner>,
    credits: u64,
    window: bool,
    observer: Option<Box<dyn StreamObserver>>,
}

impl ItemStream {
    /// Allows the plugin to send `credits` more items.
    pub fn grant(&mut self, credits: u32) {
        if let Some(live) = &mut self.0 {
            live.credits += u64::from(credits);
            live.stream.grant(credits);
        }
    }

    /// Grants `items` now, and one more for each item that is taken: at most `items` are on their way at any time.
    pub fn with_window(mut self, items: u32) -> Self {
        self.grant(items);
        if let Some(live) = &mut self.0 {
            live.window = true;
        }
        self
    }

    /// Tells `observer` of each item from now on.
    pub fn observe(&mut self, observer: Box<dyn StreamObserver>) {
        if let Some(live) = &mut self.0 {
            live.observer = Some(observer);
        }
    }

    /// The next item; `None` is the end.
    pub async fn next(&mut self) -> Option<Result<Reply, CallError>> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    /// As [`ItemStream::next`], for those who poll.
    pub fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Reply, CallError>>> {
        let Some(live) = &mut self.0 else { return Poll::Ready(None) };
        let item = match ready!(live.stream.poll_next(cx)) {
            None => None,
            Some(Err(defect)) => Some(Err(defect.into())),
            Some(Ok(outcome)) if outcome.code() != 0 => Some(Err(live.instance.failed(&outcome))),
            Some(Ok(mut outcome)) => {
                // An item has no stream of its own; one that came all the same goes before the memory that it may borrow.
                drop(outcome.take_stream());
                Some(live.take_credit().map(|()| Reply::new(outcome)))
            }
        };
        match (&item, &mut live.observer) {
            (Some(Ok(item)), Some(observer)) => observer.item(item),
            (Some(Err(error)), Some(observer)) => observer.failed(error),
            _ => {}
        }
        if !matches!(item, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(item)
    }

    pub(crate) fn new(stream: RawStream, memory: Pin<Box<CallMemory>>, instance: Arc<Inner>) -> Self {
        Self(Some(Box::new(Live {
            stream,
            _memory: memory,
            instance,
            credits: 0,
            window: false,
            observer: None,
        })))
    }
}

impl Live {
    fn take_credit(&mut self) -> Result<(), CallError> {
        let left = self.credits.checked_sub(1);
        self.credits = left.ok_or_else(|| CallError::plugin_defect("more items than were granted"))?;
        if self.window {
            self.credits += 1;
            self.stream.grant(1);
        }
        Ok(())
    }
}

impl Stream for ItemStream {
    type Item = Result<Reply, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_item(cx)
    }
}

impl fmt::Debug for ItemStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemStream").field("ended", &self.0.is_none()).finish()
    }
}
