//! `chassis trace`

use super::client::At;
use super::jaeger::Jaeger;
use super::{Exit, Global};
use crate::telemetry::Trace;
use crate::telemetry::waterfall::{Style, draw};
use clap::Args;
use hyper::Method;
use serde::Deserialize;
use serde_json::json;
use std::process::ExitCode;

/// Draw a trace: what a request or run did, when, and where it failed
///
/// The host that runs keeps the last finished spans in memory, and is asked first. What it has no more Jaeger may have, if it is
/// named. Each answer of the host says its trace's id, in the header X-Trace-Id and in every error.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chassis trace last                                           the last thing that was done, whatever it was
  chassis trace 0af7651916cd43dd8448eb211c80319c
  chassis trace 0af7651916cd43dd8448eb211c80319c --jaeger http://127.0.0.1:16686
  chassis trace last --json

Signs: ✗ failed, ↩ took an earlier step back; ▒ is the bar of what failed. Asking the host how it is makes traces too; `last` passes
over them.")]
pub struct TraceArgs {
    /// The trace's id, 32 hexadecimal digits; or `last`
    #[arg(value_name = "ID|last")]
    id: String,
    /// Where Jaeger's query service is, for traces that the host has no more
    #[arg(long, value_name = "URL", env = "CHASSIS_JAEGER_URL")]
    jaeger: Option<String>,
    #[command(flatten)]
    at: At,
}

impl TraceArgs {
    pub(super) async fn run(self, global: &Global) -> Result<ExitCode, Exit> {
        let id = self.id.to_ascii_lowercase();
        if id != LAST && (id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            return Err(Exit::usage(format!(
                "`{}` is no trace's id: that has 32 hexadecimal digits, as the header X-Trace-Id of an answer; or say `{LAST}`",
                self.id
            )));
        }
        let jaeger = self.jaeger.as_deref().map(Jaeger::at).transpose()?;
        let (trace, whence) = match (self.ask_host(global, &id).await, &jaeger) {
            (Ok(trace), _) => (trace, "from the host's memory".to_owned()),
            (Err(exit), None) => {
                return Err(exit.advised("Jaeger may have it: --jaeger http://127.0.0.1:16686"));
            }
            (Err(_), Some(jaeger)) => (jaeger.trace(&id).await?, format!("from {jaeger}")),
        };
        if global.json {
            println!("{}", json!(trace));
        } else {
            show(&trace, &whence);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn ask_host(&self, global: &Global, id: &str) -> Result<Trace, Exit> {
        let found = self.at.ask(global, Method::GET, &format!("/v1/traces/{id}"), None).await?;
        Trace::deserialize(found).map_err(|error| {
            Exit::failed(format!("the host's answer is no trace, as this version knows it: {error}"))
        })
    }
}

/// In place of an id.
const LAST: &str = "last";

fn show(trace: &Trace, whence: &str) {
    let count = trace.spans.len();
    println!("trace {}  {count} span{}, {whence}", trace.trace_id, if count == 1 { "" } else { "s" });
    print!("{}", draw(trace, Style::of_terminal()));
    for span in &trace.spans {
        // The edge's span says only its status, which the failure below it explains.
        if let Some(error) = span.error.as_deref().filter(|error| !error.is_empty()) {
            println!("✗ {}: {error}", span.name);
        }
    }
}
