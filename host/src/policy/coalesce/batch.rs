//! One batch, from what waits to each one's own result.

use super::document;
use super::{Item, Place, Sends, Turn, Waiting};
use crate::error::{CallError, CallFailure};
use crate::request::Reply;
use chassis_abi::Code;
use futures_util::future::{Either, join_all, select};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot::Sender;
use tokio::time::{Instant, timeout_at};

/// Sends what waits, and tells each its result. It ends early when nobody waits any more.
pub(super) async fn run<S: Sends>(place: Place<S>, waiting: Vec<Waiting<S>>) {
    let Some(sends) = waiting.first().map(|first| first.sends.clone()) else { return };
    let (items, mut answers): (Vec<Item>, Vec<Sender<Turn<S>>>) =
        waiting.into_iter().map(|waiting| (waiting.item, waiting.answer)).unzip();
    let json = document::input(&items);
    // Each one's own deadline is kept by its caller. The batch may take as long as any of them.
    let deadline = items.iter().map(|item| item.deadline).collect::<Option<Vec<_>>>();
    let deadline = deadline.and_then(|all| all.into_iter().max());
    let sent = {
        let sent = in_time(deadline, sends.batch(&items, json, deadline));
        let gone = poll_fn(|cx| all_gone(&mut answers, cx));
        match select(pin!(sent), pin!(gone)).await {
            Either::Left((sent, _)) => sent,
            Either::Right(_) => return,
        }
    };
    let output = match sent {
        Ok(Ok(output)) => output,
        Ok(Err(failure)) if is_of_an_item(&failure) => {
            // One of them is at fault, and nobody knows which: by itself each gets what it deserves.
            return one_by_one(&sends, items, answers, place).await;
        }
        Ok(Err(failure)) => return tell(answers, || Err(failure.clone())),
        Err(Late) => return tell(answers, || Err(late(&sends))),
    };
    // The next ones may go while these are told.
    drop(place);
    match document::output(&output, items.len()) {
        Ok(results) => {
            for (answer, result) in answers.into_iter().zip(results) {
                let result = result.map(Reply::of_json).map_err(|error| sends.failed(error));
                let _ = answer.send(Turn::Done(result));
            }
        }
        Err(what) => tell(answers, || {
            let error = CallError::new(Code::Internal, what.clone());
            Err(CallError { maybe_applied: sends.may_apply(), ..error }.into())
        }),
    }
}

struct Late;

async fn in_time<F: Future>(deadline: Option<Instant>, sent: F) -> Result<F::Output, Late> {
    match deadline {
        // Its callers are given up by their own clocks, a moment before.
        Some(deadline) => timeout_at(deadline + Duration::from_millis(1), sent).await.map_err(|_| Late),
        None => Ok(sent.await),
    }
}

fn all_gone<S: Sends>(answers: &mut [Sender<Turn<S>>], cx: &mut Context<'_>) -> Poll<()> {
    // Stops at the first that is still there, which is enough to be woken by.
    if answers.iter_mut().all(|answer| answer.poll_closed(cx).is_ready()) {
        Poll::Ready(())
    } else {
        Poll::Pending
    }
}

async fn one_by_one<S: Sends>(sends: &S, items: Vec<Item>, answers: Vec<Sender<Turn<S>>>, place: Place<S>) {
    let each = items.into_iter().zip(answers).map(|(item, mut answer)| async move {
        let result = match select(sends.single(item), pin!(answer.closed())).await {
            Either::Left((result, _)) => result,
            // Dropped with its caller.
            Either::Right(_) => return,
        };
        let _ = answer.send(Turn::Done(result));
    });
    let _ = (join_all(each).await, place);
}

fn tell<S: Sends>(answers: Vec<Sender<Turn<S>>>, result: impl Fn() -> Result<Reply, CallFailure>) {
    for answer in answers {
        let _ = answer.send(Turn::Done(result()));
    }
}

/// Whether a failure of the whole is one input's fault, and nothing was done.
fn is_of_an_item(failure: &CallFailure) -> bool {
    let of_an_input = matches!(
        failure.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
    );
    of_an_input && !failure.error.maybe_applied
}

fn late<S: Sends>(sends: &S) -> CallFailure {
    let error = CallError::new(Code::DeadlineExceeded, "the batch was not answered in time");
    CallError { retryable: true, maybe_applied: sends.may_apply(), ..error }.into()
}
