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
    /// Asks the host, and answers with what it says if `is_host` finds in it what only a host says: something else may listen there.
    pub async fn ask_host(
        &self,
        global: &Global,
        method: Method,
        path: &str,
        body: Option<&Value>,
        is_host: impl Fn(&Value) -> bool,
    ) -> Result<Value, Exit> {
        let address = self.address(global)?;
        let answer = Remote::at(&address).get(method, path, body).await?;
        if is_host(&answer) {
            return Ok(answer);
        }
        Err(Exit::unavailable(format!(
            "what answers on {address} is no host of chassis, by what it says to {path}"
        )))
    }

    /// Asks the host, and answers with what it says.
    pub async fn ask(
        &self,
        global: &Global,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Exit> {
        Remote::at(&self.address(global)?).get(method, path, body).await
    }

    fn address(&self, global: &Global) -> Result<String, Exit> {
        match &self.at {
            Some(address) => Ok(address.trim_start_matches("http://").trim_end_matches('/').to_owned()),
            None => found(global),
        }
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
