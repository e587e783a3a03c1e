//! Scene 8: the API's two answers, compared with what they should be.

use super::Demo;
use serde_json::{Value, json};

const EXPECTED: [(&str, &str); 2] = [
    ("health", include_str!("../../../api_responses/health")),
    ("status", include_str!("../../../api_responses/status")),
];

pub async fn play(demo: &mut Demo) {
    demo.screen.title("API");
    for (name, expected) in EXPECTED {
        demo.check(format!("the API answers its {name}"), async |act| {
            let expected: Value = serde_json::from_str(expected).map_err(|error| error.to_string())?;
            let outcome = act.flow(&format!("api-{name}"), json!({})).await?;
            let body = match &outcome.output["body"] {
                // A server that does not know what it serves calls it text.
                Value::String(text) => {
                    serde_json::from_str(text).map_err(|error| format!("{error}: {text:?}"))?
                }
                body => body.clone(),
            };
            match outcome.output["status"] == 200 && body == expected {
                true => Ok(((), format!("{body}"))),
                false => Err(format!("{} with {body}, and not {expected}", outcome.output["status"])),
            }
        })
        .await;
    }
}
