//! Our side: create-user as a flow, and its five calls without one.

use super::user::User;
use anyhow::{Context as _, Result, anyhow, ensure};
use chassis::app::App;
use chassis::config::{Config, Source};
use chassis::registry::OperationRef;
use chassis::request::{Context, Request};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// A host on the real servers.
pub struct Ours {
    pub app: App,
    pub calls: Arc<Calls>,
}

/// The five operations, looked up once.
pub struct Calls {
    user: OperationRef,
    preferences: OperationRef,
    session: OperationRef,
    entry: OperationRef,
    welcome: OperationRef,
}

/// Role and plugin.
const ROLES: [(&str, &str); 5] = [
    ("users", "postgres"),
    ("preferences", "mongodb"),
    ("sessions", "redis"),
    ("messages", "rabbitmq"),
    ("search", "elasticsearch"),
];

impl Ours {
    /// Starts it, with a durable journal in this folder.
    pub async fn start(folder: &Path, coalesce: bool) -> Result<Self> {
        let app = App::start(config(folder, coalesce)?).await?;
        let of = |role: &str, operation: &str| -> Result<OperationRef> {
            let operation =
                app.registry.operation(role, operation).map_err(|failure| anyhow!("{failure}"))?;
            Ok(operation.to_ref())
        };
        let calls = Calls {
            user: of("users", "insert")?,
            preferences: of("preferences", "insert")?,
            session: of("sessions", "set")?,
            entry: of("search", "index")?,
            welcome: of("messages", "publish")?,
        };
        Ok(Self { app, calls: Arc::new(calls) })
    }

    /// Prepares table, index and queue.
    pub async fn set_up(&self) -> Result<()> {
        self.flow("setup", json!({})).await
    }

    /// One run.
    pub async fn flow(&self, name: &str, input: Value) -> Result<()> {
        let outcome = self.app.engine.run(name, input, untraced()).await;
        let outcome = outcome.map_err(|failure| anyhow!("{failure}"))?;
        ensure!(outcome.completed(), "{name} did not complete: {:?}", outcome.error);
        Ok(())
    }
}

impl Calls {
    /// The same five calls as create-user makes, in the same order, without a flow.
    pub async fn create_user(&self, user: &User) -> Result<()> {
        let User { email, username, full_name, bio, run } = user;
        let values = json!({
            "email": email, "username": username, "full_name": full_name, "bio": bio,
            "created_at": "2026-01-01T00:00:00.000Z", "run_id": run,
        });
        let made = call(&self.user, json!({ "table": "users", "values": values })).await?;
        let id = made["row"]["id"].as_i64().context("the row has no id")?;
        let preferences = json!({ "theme": "dark", "language": "en", "notifications": true });
        let document = json!({
            "_id": id, "user_id": id, "theme": "dark", "language": "en", "notifications": true, "run_id": run,
        });
        let session = json!({
            "user_id": id, "email": email, "username": username, "full_name": full_name, "bio": bio,
            "preferences": preferences,
        });
        let entry = json!({ "user_id": id, "email": email, "username": username, "full_name": full_name, "bio": bio });
        let body = json!({ "user_id": id, "email": email, "full_name": full_name });
        tokio::try_join!(
            call(&self.preferences, json!({ "collection": "user_preferences", "document": document })),
            call(
                &self.session,
                json!({ "key": format!("user_session:{id}"), "ttl_ms": 86_400_000, "value": session })
            ),
            call(
                &self.entry,
                json!({ "index": "users", "id": id.to_string(), "if_absent": true, "document": entry })
            ),
            call(
                &self.welcome,
                json!({ "queue": "welcome_messages", "message_id": format!("welcome-{run}"), "body": body })
            ),
        )?;
        Ok(())
    }
}

async fn call(operation: &OperationRef, input: Value) -> Result<Value> {
    let reply = operation.call(Request::of(&input).with_context(untraced())).await;
    let reply = reply.map_err(|failure| anyhow!("{failure}"))?;
    Ok(serde_json::from_slice(reply.json())?)
}

/// The drivers trace nothing either; what tracing costs is the other benchmark's.
fn untraced() -> Context {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
    let trace =
        SpanContext::new(TraceId::from(7), SpanId::from(7), TraceFlags::default(), true, TraceState::NONE);
    Context { trace, ..Context::default() }
}

fn config(folder: &Path, coalesce: bool) -> Result<Config> {
    let mut text = format!(
        "flows_dir = {:?}\n[telemetry]\nlog = \"warn\"\n[journal]\nurl = \"sqlite:{}\"\n",
        chassis_faults::words::shipped(),
        folder.join("journal.db").display()
    );
    for (role, plugin) in ROLES {
        let variable = format!("CHASSIS_{}_URL", plugin.to_uppercase());
        text.push_str(&format!(
            "[instances.{role}]\nplugin = \"{plugin}\"\nconfig = {{ url = \"${{env:{variable}}}\" }}\n\
             [instances.{role}.policy]\nbulkhead = 256\n"
        ));
        if !coalesce {
            text.push_str("coalesce = \"off\"\n");
        }
    }
    let file = folder.join("bench.toml");
    std::fs::write(&file, text)?;
    Config::load(&Source::File(file)).map_err(|problems| anyhow!("{problems}"))
}
