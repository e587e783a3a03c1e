//! `chassis call`

use super::{Exit, Global};
use crate::app::App;
use crate::drain::Signals;
use crate::error::CallFailure;
use crate::request::{Context, ItemStream, Reply, Request};
use bytes::Bytes;
use clap::Args;
use serde_json::Value;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Call one operation of an instance, and print what it answers
///
/// `chassis instances` lists what can be called. Items of a stream are printed one JSON a line as they come; Ctrl-C cancels.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chassis call users query '{\"sql\":\"select 1 as one\"}'
  echo '{\"key\":\"a\"}' | chassis call sessions get -
  chassis call sessions set_raw '{\"key\":\"logo\"}' --raw-in logo.png
  chassis call sessions get_raw '{\"key\":\"logo\"}' --raw-out copy.png
  chassis call messages consume '{\"queue\":\"welcome_messages\"}'      a stream, until Ctrl-C")]
pub struct CallArgs {
    /// The instance, or the role that it plays
    instance: String,
    /// The operation; with its contract (`cache.get`) where a plugin has several of that name
    operation: String,
    /// The input as JSON; `-` reads it from standard input
    #[arg(default_value = "{}")]
    input: String,
    /// A file to send beside the JSON
    #[arg(long, value_name = "FILE")]
    raw_in: Option<PathBuf>,
    /// A file for what comes back beside the JSON
    #[arg(long, value_name = "FILE")]
    raw_out: Option<PathBuf>,
    /// The longest that it may take, in milliseconds
    #[arg(long, value_name = "MS")]
    timeout: Option<u64>,
    /// A repeated call with the same key takes effect once, where the operation knows keys
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// Items of a stream that may be on their way.
const WINDOW: u32 = 16;

impl CallArgs {
    pub(super) async fn run(self, global: &Global) -> Result<ExitCode, Exit> {
        let request = self.request()?;
        let mut config = global.load_quiet()?;
        config.without_journal();
        config.only(&self.instance);
        let app = App::start(config).await?;
        let mut signals = Signals::listen().map_err(|error| Exit::failed(error.to_string()))?;
        let done = tokio::select! {
            done = self.call(&app, request) => done,
            _ = signals.next() => Err(Exit::interrupted()),
        };
        app.stop().await;
        done.map(|()| ExitCode::SUCCESS)
    }

    async fn call(&self, app: &App, request: Request) -> Result<(), Exit> {
        let reply = app.registry.call(&self.instance, &self.operation, request).await?;
        if !reply.raw().is_empty() {
            self.write_raw(reply.raw())?;
        }
        if !reply.json().is_empty() {
            print(reply.json());
        }
        match reply {
            Reply { stream: Some(items), .. } => items_of(items).await,
            _ => Ok(()),
        }
    }

    fn request(&self) -> Result<Request, Exit> {
        let mut text = self.input.clone();
        if text == "-" {
            text.clear();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Exit::usage(format!("standard input: {error}")))?;
        }
        if let Err(error) = serde_json::from_str::<Value>(&text) {
            return Err(Exit::usage(format!(
                "the input is not JSON: {error}; put it in single quotes: '{{\"key\":\"a\"}}'"
            )));
        }
        let raw = match &self.raw_in {
            Some(path) => {
                std::fs::read(path).map_err(|error| Exit::usage(format!("{}: {error}", path.display())))?
            }
            None => Vec::new(),
        };
        let idempotency_key = self.idempotency_key.as_deref().map(Into::into);
        let mut context = Context { idempotency_key, ..Context::default() };
        if let Some(millis) = self.timeout {
            context = context.within(Duration::from_millis(millis));
        }
        Ok(Request { raw: Bytes::from(raw), ..Request::new(text).with_context(context) })
    }

    fn write_raw(&self, raw: &[u8]) -> Result<(), Exit> {
        match &self.raw_out {
            Some(path) => std::fs::write(path, raw)
                .map_err(|error| Exit::failed(format!("{}: {error}", path.display()))),
            None => {
                eprintln!("note: {} bytes came beside the JSON; --raw-out FILE keeps them", raw.len());
                Ok(())
            }
        }
    }
}

async fn items_of(items: ItemStream) -> Result<(), Exit> {
    let mut items = items.with_window(WINDOW);
    while let Some(item) = items.next().await {
        print(item.map_err(CallFailure::from)?.json());
        // A plugin that always has the next item would keep an interrupt from ever being seen.
        tokio::task::consume_budget().await;
    }
    Ok(())
}

/// A reader that has gone away (`| head`) is no failure.
fn print(json: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(json).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}
