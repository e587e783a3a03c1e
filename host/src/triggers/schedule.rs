//! Times that start runs. Of several hosts on one journal one starts each, as the time is in the run's key; what a host slept through
//! is not made up for.

use super::{Watch, pause};
use crate::flow::trigger::{Kind, Schedule};
use crate::flow::{Start, clock};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// The clock is looked at anew after so long: it may be set.
const LOOK: Duration = Duration::from_secs(30);

impl Watch {
    /// Starts a run at each time of the schedule.
    pub(super) async fn times(self) {
        let Kind::Schedule(schedule) = &self.trigger().kind else { return };
        let mut last = clock::now();
        while let Some(next) = schedule.after(last) {
            loop {
                let left = u64::try_from(next - clock::now()).unwrap_or_default();
                if left == 0 {
                    break;
                }
                if !pause::wait(Duration::from_millis(left).min(LOOK), &self.ending).await {
                    return;
                }
            }
            self.at(schedule, next).await;
            last = next.max(clock::now());
        }
    }

    /// Starts the run of one time. Where the journal cannot be written, it is tried until the next time has come.
    async fn at(&self, schedule: &Schedule, time: i64) {
        let flow = &self.flow.name;
        let at = clock::text(time);
        let made = self.trigger().make_input("tick", &json!({ "at": at }), &self.roles(), json!({}));
        let input = match made {
            Ok(input) => input,
            Err(failure) => {
                return tracing::error!(flow, at, %failure, "its time has come, and it cannot be started");
            }
        };
        let key: Arc<str> = format!("{} {at}", self.trigger().shown()).into();
        for failures in 1.. {
            let start = Start { key: Some(key.clone()), ..Start::default() };
            let failure = match self.host.engine.start(flow, input.clone(), start).await {
                Ok(started) if started.is_replayed() => {
                    return tracing::debug!(flow, at, run = started.run_id(), "another host has started it");
                }
                Ok(started) => return tracing::info!(flow, at, run = started.run_id(), "its time has come"),
                Err(failure) => failure,
            };
            let again =
                failure.error.retryable && schedule.after(time).is_none_or(|next| clock::now() < next);
            if !again {
                return tracing::error!(flow, at, %failure, "its time has come, and it cannot be started");
            }
            if !pause::wait(pause::after(failures), &self.ending).await {
                return;
            }
        }
    }
}
