//! Scene 2: each backend answers.

use super::{Demo, ROLES};
use serde_json::json;
use std::time::{Duration, Instant};

/// How long a backend that is just starting may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers whether all are well.
pub async fn play(demo: &mut Demo) -> bool {
    demo.screen.title("Health");
    let mut all = true;
    for role in ROLES {
        let instance = demo.stage.roles.get(role).cloned().unwrap_or_default();
        let found = demo.check(format!("{role} is healthy"), async |act| {
            let ask = async || act.call(role, "health", json!({})).await.map(Some);
            act.wait_for(PATIENCE, "an answer", ask).await?;
            let started = Instant::now();
            let health = act.call(role, "health", json!({})).await?;
            let version = health["server_version"].as_str().unwrap_or("version not told").to_owned();
            let round_trip = started.elapsed().as_secs_f64() * 1e3;
            Ok(((), format!("{instance}, {version}, answers in {round_trip:.1} ms")))
        });
        all &= found.await.is_some();
    }
    all
}
