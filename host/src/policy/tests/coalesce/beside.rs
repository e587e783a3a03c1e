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

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_batch_that_takes_long() {
    let coalesce = Coalesce::new(CoalesceSettings::default());
    let backend = Backend(Arc::new(Inner { slow: TAKES * 10, ..Inner::default() }));
    let mut calls = all(&coalesce, &backend, (0..22).map(|n| item(n, "")).collect());
    // The two that went alone are over, and 20 go on.
    sleep(TAKES * 12).await;
    calls.extend(all(&coalesce, &backend, vec![item(22, "")]));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(coalesce.waiting(), 1);
    sleep(TAKES * 2).await;
    calls.extend(all(&coalesce, &backend, vec![item(23, "")]));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(coalesce.waiting(), 0, "both went beside it");
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let sizes: Vec<usize> = backend.sent().iter().map(|sent| sent.items.len()).collect();
    assert_eq!(sizes, [1, 1, 20, 2]);
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
