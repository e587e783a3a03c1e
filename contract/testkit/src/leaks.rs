//! Threads and file descriptors of this process.

use std::time::Duration;

/// How many threads and file descriptors there are; `None` where the system does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    threads: usize,
    files: usize,
}

impl Usage {
    pub(crate) fn now() -> Option<Self> {
        let count = |dir: &str| std::fs::read_dir(dir).ok().map(Iterator::count);
        Some(Self { threads: count("/proc/self/task")?, files: count("/proc/self/fd")? })
    }

    /// Waits until there is no more than `self` again; otherwise tells what is left.
    pub(crate) async fn regained(self) -> Result<(), String> {
        let mut left = self;
        for _ in 0..100 {
            left = Self::now().unwrap_or(self);
            if left.threads <= self.threads && left.files <= self.files {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("before: {self:?}, after the instance was dropped: {left:?}"))
    }
}
