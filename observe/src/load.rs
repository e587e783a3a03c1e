//! A steady load over the six servers: every flow, and plain calls, in turns.

use crate::ask::{Asking, new_user};
use anyhow::Result;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// A load that goes on until it is ended.
pub struct Load {
    workers: JoinSet<()>,
    over: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
}

/// A breath between two rounds: enough for every panel, and the machine has other work.
const PAUSE: Duration = Duration::from_millis(50);

impl Load {
    /// Begins with so many workers.
    pub fn begin(asking: &Asking, workers: usize) -> Self {
        Self::of(asking, workers, PAUSE, |asking| async move { round(&asking).await })
    }

    /// About thirty reads a second of each instance, and of one flow; nothing is written.
    pub fn of_reads(asking: &Asking) -> Self {
        Self::of(asking, 2, PAUSE, |asking| async move {
            for (instance, operation, input) in READS {
                // What fails is what is looked at.
                let _ = asking.call(instance, operation, &serde_json::from_str(input)?).await;
            }
            let _ = asking.flow("get-user", &json!({ "id": 1 })).await;
            Ok(())
        })
    }

    /// Two users a second.
    pub fn of_users(asking: &Asking) -> Self {
        Self::of(asking, 1, Duration::from_millis(450), |asking| async move {
            asking.flow("create-user", &new_user()).await.map(drop)
        })
    }

    /// One call again and again, with a pause between.
    pub fn of_call(asking: &Asking, workers: usize, instance: &str, operation: &str, input: Value) -> Self {
        let what = Arc::new((instance.to_owned(), operation.to_owned(), input));
        Self::of(asking, workers, PAUSE, move |asking| {
            let what = what.clone();
            async move { asking.call(&what.0, &what.1, &what.2).await.map(drop) }
        })
    }

    fn of<R>(
        asking: &Asking,
        workers: usize,
        pause: Duration,
        work: impl Fn(Asking) -> R + Send + Sync + 'static,
    ) -> Self
    where
        R: Future<Output = Result<()>> + Send,
    {
        let (over, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut load = Self { workers: JoinSet::new(), over, rounds };
        let work = Arc::new(work);
        for _ in 0..workers {
            let (asking, over, rounds) = (asking.clone(), load.over.clone(), load.rounds.clone());
            let work = work.clone();
            load.workers.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    // What fails is seen by the panels; a load goes on.
                    if work(asking.clone()).await.is_ok() {
                        rounds.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(pause).await;
                }
            });
        }
        load
    }

    /// Ends it; answers how many rounds went well.
    pub async fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.workers.join_all().await;
        self.rounds.load(Ordering::Relaxed)
    }
}

/// A read of each instance.
pub const READS: [(&str, &str, &str); 6] = [
    ("postgres", "query", r#"{"sql":"select 1 as one"}"#),
    ("mongodb", "find_one", r#"{"collection":"user_preferences","filter":{"_id":1}}"#),
    ("redis", "get", r#"{"key":"observed"}"#),
    ("rabbitmq", "depth", r#"{"queue":"welcome_messages"}"#),
    ("elasticsearch", "get", r#"{"index":"users","id":"1"}"#),
    ("http-api", "get", r#"{"path":"/health"}"#),
];

/// A user comes, is read, found, changed, welcomed, and goes.
async fn round(asking: &Asking) -> Result<()> {
    let created = asking.completed("create-user", &new_user()).await?;
    let id = json!({ "id": user_id(&created.body) });
    asking.completed("get-user", &id).await?;
    asking.flow("search-users", &json!({ "text": "observed" })).await?;
    let mut change = id.clone();
    change["bio"] = Value::from("changed");
    asking.completed("update-user", &change).await?;
    asking.completed("process-welcome", &json!({})).await?;
    asking.completed("api-status", &json!({})).await?;
    asking.call("redis", "get", &json!({ "key": format!("user_session:{}", id["id"]) })).await?;
    asking.completed("delete-user", &id).await?;
    Ok(())
}

/// The id in create-user's answer.
pub fn user_id(answer: &Value) -> Value {
    answer["id"].clone()
}
