//! Commands that are for a host that runs, and for nobody else.

use super::remote::Remote;
use super::{Exit, Global};
use clap::Args;
use hyper::Method;
use serde_json::Value;

/// Which host.
#[derive(Clone, Debug, Args)]
pub struct At {
    /// The host that is meant, as host:port; without it the one that has the profile's journal, or that its `edge.listen` names
    #[arg(long, value_name = "ADDRESS", env = "CHASSIS_AT")]
    at: Option<String>,
}

impl At {
    /// Asks the host for a document that has `field`, and answers with it. What has none comes from something else that listens there.
    pub async fn ask_for(&self, global: &Global, field: &str, path: &str) -> Result<Value, Exit> {
        let answer = self.ask(global, Method::GET, path, None).await?;
        if answer[field].is_string() {
            return Ok(answer);
        }
        Err(Exit::unavailable(format!("what answers to {path} is no host of chassis: it tells no `{field}`")))
    }

    /// Asks the host, and answers with what it says.
    pub async fn ask(
        &self,
        global: &Global,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Exit> {
        let address = match &self.at {
            Some(address) => address.trim_start_matches("http://").trim_end_matches('/').to_owned(),
            None => found(global)?,
        };
        Remote::at(&address).get(method, path, body).await
    }
}

/// Where a host of this profile is.
fn found(global: &Global) -> Result<String, Exit> {
    let config = global.load_quiet()?;
    let holder = config.journal.place().ok().and_then(|place| place.holder());
    let address = holder.and_then(|holder| holder.address).unwrap_or(config.edge.listen);
    // One that listens everywhere listens here.
    Ok(address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:"))
}
