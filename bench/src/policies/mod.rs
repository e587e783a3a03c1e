//! What the policies add to a call that goes well, and what gathering calls into batches brings.

mod coalesce;
mod stack;

use crate::stats::rounded;
use anyhow::Result;
use serde_json::json;

/// Runs both.
pub fn run(json: bool) -> Result<()> {
    let say = |line: String| if json { eprintln!("{line}") } else { println!("{line}") };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (added, gathered) = runtime.block_on(async {
        let added = stack::measure().await?;
        say(format!("the whole stack adds {added:.1} ns to a call"));
        anyhow::Ok((added, coalesce::measure(&say).await?))
    })?;
    if json {
        println!("{}", json!({ "stack_added_ns": rounded(added), "coalesce": gathered }));
    }
    Ok(())
}
