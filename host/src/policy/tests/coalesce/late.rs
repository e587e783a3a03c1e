//! An item whose time is over while its batch is under way.

use super::*;
use tokio::time::timeout_at;

#[tokio::test(start_paused = true)]
async fn one_that_is_late_leaves_the_others_their_time_and_their_results() {
    let (coalesce, backend) = start();
    // Two are sent at once; those that come meanwhile go together when one of the two ends.
    let first = all(&coalesce, &backend, vec![item(100, ""), item(101, "")]);
    tokio::task::yield_now().await;
    let begun = Instant::now();
    let hurried = Item { deadline: Some(begun + TAKES + TAKES / 2), ..item(1, "") };
    // As the stack sends it: its own limit is around it.
    let late = tokio::spawn({
        let (by, sent) = (begun + TAKES + TAKES / 2, send(&coalesce, &backend, hurried));
        async move { timeout_at(by, sent).await }
    });
    let others = all(&coalesce, &backend, vec![item(2, ""), item(3, "fail"), item(4, "")]);
    assert!(late.await.unwrap().is_err(), "its time is over before its batch is");
    let others: Vec<_> = join_all(others).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(output(&others[0]), json!({ "doubled": 4 }));
    assert_eq!(others[1].as_ref().unwrap_err().code(), Code::AlreadyExists);
    assert_eq!(output(&others[2]), json!({ "doubled": 8 }));
    for one in first {
        assert!(one.await.unwrap().is_ok());
    }
    let sent = backend.sent();
    let batch = &sent[2];
    assert_eq!(
        (sent.len(), &batch.items),
        (3, &vec![1, 2, 3, 4]),
        "it was on its way when its time was over"
    );
    assert_eq!(batch.deadline, item_deadline(begun, 4), "the batch has the time of the item that has most");
    assert_eq!(backend.0.dropped.load(Ordering::Relaxed), 0, "the batch goes on without it");
}

/// As `item` makes it.
fn item_deadline(begun: Instant, n: u64) -> Option<Instant> {
    Some(begun + Duration::from_secs(n + 1))
}
