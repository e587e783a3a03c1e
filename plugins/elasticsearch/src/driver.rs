//! The plugin: how it is opened and asked.

use crate::config::Config;
use crate::error;
use chassis_guest::{Context, Effect, Error, Health, Operations, Plugin};
use elasticsearch::Elasticsearch;
use elasticsearch::http::response::Response;
use serde_json::Value;

/// The plugin.
pub struct Elastic {
    pub(crate) client: Elasticsearch,
}

impl Plugin for Elastic {
    type Config = Config;

    fn operations(operations: &mut Operations<Self>) {
        operations.search();
    }

    async fn open(config: Config, _: Context) -> Result<Self, Error> {
        Ok(Self { client: config.client()? })
    }

    async fn health(&self) -> Result<Health, Error> {
        let info = answer(self.client.info().send().await, Effect::Read).await?;
        let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
        let details = [("cluster".to_owned(), text(&info["cluster_name"]))].into();
        Ok(Health { server_version: text(&info["version"]["number"]), details, pool: None })
    }
}

/// The JSON that the server answered, or its error.
pub async fn answer(sent: Result<Response, elasticsearch::Error>, effect: Effect) -> Result<Value, Error> {
    let response = sent.map_err(|error| error::of(&error, effect))?;
    let status = response.status_code().as_u16();
    let retry_after =
        response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let body = response.text().await.map_err(|error| error::of(&error, effect))?;
    let body: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
    if status < 400 { Ok(body) } else { Err(error::refused(status, retry_after, body)) }
}
