//! The host is killed at every write of its journal, just before it is durable and just after, on the way forward and on the way
//! back; each time the next host must finish what was begun.

use crate::report::{Report, Tally};
use crate::site::{Options, Servers, Site};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::time::Duration;

/// The journal's points.
const POINTS: [&str; 2] = ["before_commit", "after_commit"];
/// No run writes as often as this: a bound, should none be the last.
const MOST: u64 = 200;
/// After so many runs in a row that ended before the write, there is no such write.
const MISSES: u32 = 3;

/// Kills at every write; the tally's cells are the kills.
pub async fn run(servers: Servers, options: &Options, report: &Report) -> Result<Tally> {
    let mut site = Site::new(servers, options).await?;
    site.first_host().await?.stop().await?;
    let mut tally = Tally::default();
    let mut kills = 0;
    for undoing in [false, true] {
        for point in POINTS {
            let (mut number, mut missed) = (0, 0);
            // What is written together differs from run to run: one that wrote less often is no proof that none writes more.
            while number < MOST && missed < MISSES {
                number += 1;
                let what =
                    format!("write {number}, {point}, {}", if undoing { "undoing" } else { "forward" });
                let killed =
                    kill_at(&mut site, undoing, point, number).await.with_context(|| what.clone())?;
                let verdict = site.verdict().await.with_context(|| what.clone())?;
                kills += usize::from(killed);
                tally = Tally { cells: kills, ..Tally::of(&verdict) };
                if !verdict.clean(0) {
                    report.wrong(&what, &verdict, Some(site.folder()));
                    site.keep();
                    return Ok(tally);
                }
                if killed {
                    report.progress(&format!("journal: killed at {what}"));
                    missed = 0;
                } else {
                    missed += 1;
                }
            }
            ensure!(
                number > 5,
                "a run wrote only {number} times {point}: the probe is not asked at each write"
            );
            ensure!(number < MOST, "a run never came to its last write");
        }
    }
    Ok(tally)
}

/// Runs create-user on a host that ends at this write; false if the run was over before.
async fn kill_at(site: &mut Site, undoing: bool, point: &str, number: u64) -> Result<bool> {
    let user = site.next_user();
    let mut host = site.host("host").await?;
    if undoing {
        let late = json!({ "kind": "error", "code": "failed_precondition", "instance": "search", "operation": "index", "latency": "60ms" });
        host.fault(&late).await?;
    }
    host.fault(&json!({ "kind": "crash", "at": point, "nth": number })).await?;
    match host.flow("create-user", &user, None).await {
        Ok(_) => host.stop().await.map(|()| false),
        // No answer is what a host gives that has ended in the middle.
        Err(error) => {
            let gone = host.ended_within(Duration::from_secs(10)).await;
            ensure!(gone, "no answer, and the host lives: {error:#}");
            revived(site).await.map(|()| true)
        }
    }
}

/// The next host, until it has nothing left to do.
async fn revived(site: &Site) -> Result<()> {
    let host = site.host("host").await?;
    site.settled().await?;
    host.stop().await
}
