//! Scene 6: full-text search that forgives a typing error.

use super::Demo;
use serde_json::json;
use std::time::Duration;

/// What is typed, and who is meant.
const TYPED: [(&str, &str); 2] = [("Lovelase", "Ada Lovelace"), ("shortest pahts", "Edsger Dijkstra")];

pub async fn play(demo: &mut Demo) {
    demo.screen.title("Search");
    for (typed, meant) in TYPED {
        demo.check(format!("\"{typed}\" finds {meant}"), async |act| {
            // An index shows what was written a moment later.
            let input = json!({ "text": typed });
            let ask = async || {
                let outcome = act.flow("search-users", input.clone()).await?;
                let first = outcome.output["users"][0]["full_name"] == meant;
                Ok(first.then_some((outcome.output["total"].clone(), outcome.ms)))
            };
            let (total, ms) = act.wait_for(Duration::from_secs(10), "the user to be found", ask).await?;
            Ok(((), format!("first of {total}, {ms:.1} ms")))
        })
        .await;
    }
    let typed = TYPED[0].0;
    demo.check(format!("without forgiveness \"{typed}\" finds nobody"), async |act| {
        let outcome = act.flow("search-users", json!({ "text": typed, "fuzzy": false })).await?;
        match outcome.output["total"].as_u64() {
            Some(0) => Ok(((), String::new())),
            _ => Err(format!("it finds {}", outcome.output)),
        }
    })
    .await;
}
