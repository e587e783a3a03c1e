//! Scene 7: the welcome messages are processed, and their traces hang together with those that sent them.

use super::Demo;
use serde_json::json;
use std::collections::BTreeSet;

/// More messages than this are not ours.
const MOST: usize = 100;

pub async fn play(demo: &mut Demo) {
    demo.screen.title("Messages");
    let expected: BTreeSet<String> = demo.made.iter().map(|made| made.message_id.clone()).collect();
    let traces: Vec<String> = demo.made.iter().map(|made| made.trace_id.clone()).collect();
    demo.check("each user's message is processed once", async |act| {
        let mut processed = Vec::new();
        for _ in 0..MOST {
            let outcome = act.flow("process-welcome", json!({ "wait_ms": 200 })).await?;
            match outcome.output["message_id"].as_str() {
                Some(id) => processed.push(id.to_owned()),
                None => break,
            }
        }
        let ours: Vec<&String> = processed.iter().filter(|id| expected.contains(*id)).collect();
        let once: BTreeSet<&String> = ours.iter().copied().collect();
        if once.len() != expected.len() || ours.len() != expected.len() {
            return Err(format!("expected {expected:?}, processed {processed:?}"));
        }
        Ok(((), format!("{} processed, acknowledged", ours.len())))
    })
    .await;
    if let Some(id) = demo.report.last_trace() {
        let trace = demo.stage.telemetry.trace(id);
        demo.check("processing is linked to the trace that sent the message", async |_| {
            let Some(trace) = trace else { return Ok(((), "traces are not recorded".to_owned())) };
            let linked = |sent: &&String| {
                let to = format!("{sent}:");
                trace.spans.iter().any(|span| {
                    span.kind == "consumer" && span.links.iter().any(|link| link.starts_with(&to))
                })
            };
            match traces.iter().filter(linked).count() {
                count if count == traces.len() => Ok(((), format!("{count} links"))),
                count => Err(format!("{count} of {} traces are linked", traces.len())),
            }
        })
        .await;
    }
    demo.check("no message waits, and each user is marked as welcomed", async |act| {
        let waiting = super::stores::waiting(act).await?;
        let filter = json!({ "welcomed_at": { "$exists": true } });
        let counted = act
            .call("preferences", "count", json!({ "collection": "user_preferences", "filter": filter }))
            .await?;
        match (waiting, counted["count"].as_u64()) {
            (0, Some(welcomed)) if welcomed >= expected.len() as u64 => Ok(((), String::new())),
            _ => Err(format!("{waiting} messages wait, {} users are marked", counted["count"])),
        }
    })
    .await;
}
