//! How long to wait before something is tried again: 100 ms, doubling to 10 s.

use std::time::Duration;
use tokio_util::sync::CancellationToken;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// The wait after a number of failures in a row.
pub fn after(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST)
}

/// Waits; false if the end comes first.
pub async fn wait(time: Duration, ending: &CancellationToken) -> bool {
    ending.run_until_cancelled(tokio::time::sleep(time)).await.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_and_is_bounded() {
        assert_eq!(after(0), FIRST);
        assert_eq!(after(1), FIRST);
        assert_eq!(after(3), FIRST * 4);
        assert_eq!(after(u32::MAX), LONGEST);
    }
}
