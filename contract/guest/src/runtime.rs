//! The one background thread of an instance.

use crate::Error;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// How long blocking work (a name look-up, a file) may hold up the end of an instance.
const PATIENCE: Duration = Duration::from_secs(2);

/// A current_thread runtime on a thread of its own: I/O, timers and spawned tasks of one instance, and nothing else.
pub(crate) struct Background {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts the thread.
    pub(crate) fn start(instance: &str) -> Result<Self, Error> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .thread_name(format!("{instance}-blocking"))
            .build()
            .map_err(|error| Error::internal("cannot start the instance's event loop").caused_by(&error))?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name(instance.to_owned())
            .spawn(move || {
                // Ends when told to, or when the sender is gone.
                let _ = runtime.block_on(stopped);
                runtime.shutdown_timeout(PATIENCE);
            })
            .map_err(|error| Error::internal("cannot start the instance's thread").caused_by(&error))?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Background {
    /// Aborts every task and waits for the thread's end.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the hook already.
            let _ = thread.join();
        }
    }
}
