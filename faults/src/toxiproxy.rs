//! Toxiproxy: a proxy that does to connections what bad networks do.

use anyhow::{Context, Result, bail, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// Its server, as a child of this process.
pub struct Toxiproxy {
    child: Child,
    api: String,
    client: Client,
}

/// One proxy of it.
pub struct Proxy {
    /// Where it listens.
    pub listen: String,
    at: String,
    client: Client,
}

impl Toxiproxy {
    /// Starts it; `CHASSIS_TOXIPROXY` names its binary.
    pub async fn start() -> Result<Self> {
        let binary = std::env::var_os("CHASSIS_TOXIPROXY")
            .context("CHASSIS_TOXIPROXY is not set: run `cargo xtask faults network`")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(binary);
        command.args(["-host", "127.0.0.1", "-port", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().context("cannot start Toxiproxy")?;
        let client = Client::builder().timeout(Duration::from_secs(5)).build()?;
        let toxiproxy = Self { child, api: format!("http://127.0.0.1:{port}"), client };
        for _ in 0..200 {
            if toxiproxy.client.get(format!("{}/version", toxiproxy.api)).send().await.is_ok() {
                return Ok(toxiproxy);
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        bail!("Toxiproxy does not answer on {}", toxiproxy.api)
    }

    /// A proxy before this address.
    pub async fn proxy(&self, name: &str, upstream: &str) -> Result<Proxy> {
        let wanted = json!({ "name": name, "listen": "127.0.0.1:0", "upstream": upstream, "enabled": true });
        let answer = self.client.post(format!("{}/proxies", self.api)).json(&wanted).send().await?;
        let made: Value = answer.error_for_status()?.json().await?;
        let listen = made["listen"].as_str().context("Toxiproxy does not say where it listens")?.to_owned();
        Ok(Proxy { listen, at: format!("{}/proxies/{name}", self.api), client: self.client.clone() })
    }

    /// Ends it.
    pub async fn stop(mut self) {
        let _ = self.child.kill().await;
    }
}

impl Proxy {
    /// Adds a trouble.
    pub async fn add(&self, toxic: &Value) -> Result<()> {
        let mut toxic = toxic.clone();
        toxic["name"] = json!("trouble");
        let answer = self.client.post(format!("{}/toxics", self.at)).json(&toxic).send().await?;
        let (ok, text) = (answer.status().is_success(), answer.text().await?);
        ensure!(ok, "Toxiproxy refuses {toxic}: {text}");
        Ok(())
    }

    /// Takes it away.
    pub async fn heal(&self) -> Result<()> {
        self.client.delete(format!("{}/toxics/trouble", self.at)).send().await?.error_for_status()?;
        Ok(())
    }
}
