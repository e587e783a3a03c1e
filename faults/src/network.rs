//! Bad networks between the host and each real server, and servers that stand still: under load, then healed, then compared.

use crate::report::{Report, Tally};
use crate::site::{Options, Servers, Site, user};
use crate::still::Still;
use crate::stores::Urls;
use crate::toxiproxy::{Proxy, Toxiproxy};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    /// Connections are reset.
    Reset,
    /// Every answer is late.
    Latency,
    /// Nothing comes through any more, and nobody says so.
    HalfOpen,
    /// The connection is cut in the middle of an answer.
    Cut,
    /// The server's processes are stopped (SIGSTOP), and go on later.
    Stopped,
}

const TROUBLES: [Trouble; 5] =
    [Trouble::Reset, Trouble::Latency, Trouble::HalfOpen, Trouble::Cut, Trouble::Stopped];
const SERVERS: [&str; 5] = ["postgres", "mongodb", "redis", "rabbitmq", "elasticsearch"];
/// How many ask at the same time.
const CALLERS: usize = 8;
/// How long each trouble lasts.
const LASTS: Duration = Duration::from_millis(2_500);
/// How long all is well before.
const WELL: Duration = Duration::from_millis(700);

/// Runs every trouble with every server; the tally's cells are these.
pub async fn run(options: &Options, report: &Report) -> Result<Tally> {
    let toxiproxy = Toxiproxy::start().await?;
    let own = Urls::from_environment()?;
    let (proxied, proxies) = proxied(&toxiproxy, &own).await?;
    let options =
        Options { urls: Some(proxied), attempt_timeout: Some(Duration::from_millis(800)), ..options.clone() };
    let site = Site::new(Servers::Real, &options).await?;
    let host = Arc::new(site.first_host().await?);
    let (mut tally, mut done) = (Tally::default(), 0);
    let number = Arc::new(AtomicU64::new(0));
    for (server, proxy) in SERVERS.iter().zip(&proxies) {
        for trouble in TROUBLES {
            let over = Arc::new(AtomicBool::new(false));
            let mut callers = JoinSet::new();
            for _ in 0..CALLERS {
                let (host, over, number) = (host.clone(), over.clone(), number.clone());
                callers.spawn(async move {
                    while !over.load(Ordering::Relaxed) {
                        let number = number.fetch_add(1, Ordering::Relaxed) + 1;
                        // Refusals and failures are what is expected here.
                        let _ = host.flow("create-user", &user(number), None).await;
                    }
                });
            }
            tokio::time::sleep(WELL).await;
            let what = format!("{trouble:?} of {server}");
            bring(trouble, server, proxy).await.with_context(|| what.clone())?;
            over.store(true, Ordering::Relaxed);
            callers.join_all().await;
            let verdict = site.verdict().await.with_context(|| what.clone())?;
            done += 1;
            tally = Tally { cells: done, ..Tally::of(&verdict) };
            report.progress(&format!(
                "network: {done} of {}: {what}: {} completed, {} undone so far",
                TROUBLES.len() * SERVERS.len(),
                verdict.completed,
                verdict.undone
            ));
            if !verdict.clean(0) {
                report.wrong(&what, &verdict, Some(site.folder()));
                site.keep();
                return Ok(tally);
            }
        }
    }
    if let Some(host) = Arc::into_inner(host) {
        host.stop().await?;
    }
    toxiproxy.stop().await;
    Ok(tally)
}

async fn bring(trouble: Trouble, server: &str, proxy: &Proxy) -> Result<()> {
    let toxic = |kind: &str, attributes: Value| json!({ "type": kind, "stream": "downstream", "attributes": attributes });
    let toxic = match trouble {
        Trouble::Reset => toxic("reset_peer", json!({ "timeout": 0 })),
        Trouble::Latency => toxic("latency", json!({ "latency": 600, "jitter": 400 })),
        Trouble::HalfOpen => toxic("timeout", json!({ "timeout": 0 })),
        // Enough for a greeting and some answers, then in the middle of one.
        Trouble::Cut => toxic("limit_data", json!({ "bytes": 1500 })),
        Trouble::Stopped => {
            let _still = Still::of(server)?;
            tokio::time::sleep(LASTS).await;
            return Ok(());
        }
    };
    proxy.add(&toxic).await?;
    tokio::time::sleep(LASTS).await;
    proxy.heal().await
}

/// The same addresses, by way of a proxy each.
async fn proxied(toxiproxy: &Toxiproxy, own: &Urls) -> Result<(Urls, Vec<Proxy>)> {
    let mut proxies = Vec::new();
    let mut through = Vec::new();
    for (name, url) in
        SERVERS.iter().zip([&own.postgres, &own.mongodb, &own.redis, &own.rabbitmq, &own.elasticsearch])
    {
        let upstream = address(url)?;
        let proxy = toxiproxy.proxy(name, upstream).await?;
        through.push(url.replacen(upstream, &proxy.listen, 1));
        proxies.push(proxy);
    }
    let [postgres, mongodb, redis, rabbitmq, elasticsearch]: [String; 5] =
        through.try_into().map_err(|_| anyhow::anyhow!("not five servers"))?;
    Ok((Urls { postgres, mongodb, redis, rabbitmq, elasticsearch }, proxies))
}

/// Host and port of a URL.
fn address(url: &str) -> Result<&str> {
    let (_, rest) = url.split_once("://").context("no URL")?;
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    Ok(authority.rsplit_once('@').map_or(authority, |(_, address)| address))
}
