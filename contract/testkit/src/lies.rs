//! Servers that are none.

use crate::{Bench, Failure, Liar, Lie, Outcome};
use chassis_loader::{CallError, Code};
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;

/// As long as a host waits for `health`; then it drops the call.
const HEALTH: Duration = Duration::from_secs(2);

/// As long as the close of an instance may take, whatever its server does: less than a host waits for it.
const CLOSE: Duration = Duration::from_secs(4);

pub(crate) async fn are_seen_through(bench: &Bench) -> Outcome {
    let Some(scheme) = bench.server.scheme() else { return Ok(()) };
    for lie in Lie::all(scheme) {
        let told = |what: &str| Failure::Wrong(format!("{lie:?}: {what}"));
        let liar = Liar::start(lie).await.map_err(|error| told(&error.to_string()))?;
        let Some(server) = bench.server.moved(liar.address())? else { return Ok(()) };
        let other = bench.another((bench.subject.config)(&server)).await?;
        // The first look may meet the first attempt to connect, the second what is left of it.
        for _ in 0..2 {
            match timeout(HEALTH, other.call("health", json!({}))).await {
                Err(_) | Ok(Err(CallError { code: Code::Unavailable | Code::DeadlineExceeded, .. })) => {}
                Ok(Err(error)) => return Err(told(&format!("expected `unavailable`, got {error}"))),
                Ok(Ok(health)) => return Err(told(&format!("it is well: {health}"))),
            }
        }
        let destroyed = other.instance().destroyed();
        match timeout(CLOSE, other.instance().close()).await {
            Ok(closed) => closed?,
            Err(_) => return Err(told(&format!("the instance did not close within {CLOSE:?}"))),
        }
        drop(other);
        if timeout(CLOSE, destroyed.wait()).await.is_err() {
            return Err(told(&format!("the instance was not destroyed within {CLOSE:?}")));
        }
    }
    Ok(())
}
