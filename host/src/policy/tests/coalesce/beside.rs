//! What is gathered at all, and what goes beside what is in flight.

use super::*;

#[tokio::test(start_paused = true)]
async fn few_wait_for_a_large_batch_and_half_as_many_go_beside_it() {
    let (coalesce, backend) = start();
    let mut calls = all(&coalesce, &backend, (0..22).map(|n| item(n, "")).collect());
    // Two alone, and the other 20 when one ends.
    sleep(TAKES + TAKES / 2).await;
    calls.extend(all(&coalesce, &backend, (22..31).map(|n| item(n, "")).collect()));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(coalesce.waiting(), 9, "nine are less than half of 20");
    calls.extend(all(&coalesce, &backend, vec![item(31, "")]));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(coalesce.waiting(), 0);
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(output(&call.await.unwrap()), json!({"doubled": 2 * n}));
    }
    let sizes: Vec<usize> = backend.sent().iter().map(|sent| sent.items.len()).collect();
    assert_eq!(sizes, [1, 1, 20, 10]);
}

#[test]
fn what_its_driver_sends_together_is_gathered_only_where_it_is_asked_for() {
    let gathered = |text: &str, pipelined: bool| {
        let many = json!({"batched_by": "many", "pipelined": pipelined});
        stack(&settings(text), None, &many).coalesce().is_some()
    };
    assert!(gathered("", false));
    assert!(!gathered("", true));
    assert!(gathered("coalesce = { batches = 1 }", true));
    assert!(!gathered("coalesce = \"off\"", false));
}
