//! `chassis run`

use super::{Exit, Global};
use crate::app::App;
use clap::Args;
use std::process::ExitCode;

/// Serve calls and flows over HTTP, until SIGTERM or Ctrl-C
///
/// Then: not ready, calls in flight get 10 s to end (`shutdown.drain`), pools are closed, telemetry is sent, exit 0.
#[derive(Debug, Args)]
pub struct Run {
    /// Where to listen, instead of what the configuration says
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

impl Run {
    pub(super) async fn run(self, global: &Global) -> Result<ExitCode, Exit> {
        let mut config = global.load()?;
        if let Some(listen) = self.listen {
            config.edge.listen = listen;
        }
        App::start(config).await?.serve().await?;
        Ok(ExitCode::SUCCESS)
    }
}
