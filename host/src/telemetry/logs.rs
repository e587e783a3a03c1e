//! Log lines on standard error: for people or as JSON, with the ids of the span that they belong to.

use super::levels::{self, PLUGIN_TARGET};
use super::setup::Config;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::trace::SdkTracer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::io::IsTerminal;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, filter, reload};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people on a terminal, else JSON.
    #[default]
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Installs the subscriber: log lines, and the bridge that makes spans of the `tracing` facade spans of a trace. A process has one:
/// where another one stands already (tests), it stays.
pub(super) fn install(config: &Config, tracer: SdkTracer) -> Result<(), String> {
    let (wanted, shown) = levels::configured(config)?;
    let (wanted, handle) = reload::Layer::new(wanted);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .event_format(Lines::new(config.log_format))
        .with_filter(wanted);
    // Only our own spans: those of the transport below the exporter would be traces of sending traces.
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(filter::filter_fn(|meta| {
            meta.is_span() && meta.target().starts_with("chassis") && *meta.level() <= Level::INFO
        }));
    if tracing_subscriber::registry().with(spans).with(lines).try_init().is_ok() {
        levels::control(handle, shown);
    }
    Ok(())
}

/// Writes a plugin's log line.
pub fn plugin_line(instance: &str, level: u32, message: &str, fields: Option<&Value>) {
    let fields = fields.map(Value::to_string).unwrap_or_default();
    // The level of an event is static, hence one macro each.
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(target: PLUGIN_TARGET, $level, instance, fields = JsonText(&fields).as_value(), "{message}")
        };
    }
    match level {
        1 => line!(Level::ERROR),
        2 => line!(Level::WARN),
        3 => line!(Level::INFO),
        4 => line!(Level::DEBUG),
        5 => line!(Level::TRACE),
        _ => {}
    }
}

struct JsonText<'a>(&'a str);

impl<'a> JsonText<'a> {
    fn as_value(&self) -> Option<&'a str> {
        (!self.0.is_empty()).then_some(self.0)
    }
}

struct Lines {
    json: bool,
    colours: bool,
}

impl Lines {
    fn new(format: LogFormat) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let json = match format {
            LogFormat::Auto => !terminal,
            LogFormat::Pretty => false,
            LogFormat::Json => true,
        };
        Self { json, colours: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut fields = Fields::default();
        event.record(&mut fields);
        let span = current();
        if self.json {
            return writeln!(writer, "{}", Value::Object(fields.into_line(event, time, &span)));
        }
        let level = event.metadata().level();
        let (colour, plain) = if self.colours { (colour(level), "\x1b[0m") } else { ("", "") };
        write!(writer, "{time} {colour}{level:>5}{plain} {}", fields.message)?;
        for (name, value) in &fields.values {
            match value {
                Value::String(text) if !text.is_empty() && !text.contains([' ', '"', '=']) => {
                    write!(writer, " {name}={text}")?
                }
                other => write!(writer, " {name}={other}")?,
            }
        }
        if span.is_valid() {
            write!(writer, " trace_id={}", span.trace_id())?;
        }
        writeln!(writer)
    }
}

/// The span of the OpenTelemetry context that is current here: set by [`super::in_span`], or by a `tracing` span that is entered.
fn current() -> SpanContext {
    opentelemetry::Context::map_current(|context| context.span().span_context().clone())
}

fn colour(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[90m",
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    values: Map<String, Value>,
}

impl Fields {
    fn into_line(self, event: &Event<'_>, time: String, span: &SpanContext) -> Map<String, Value> {
        let mut line = Map::new();
        line.insert("timestamp".into(), time.into());
        line.insert("level".into(), event.metadata().level().as_str().to_ascii_lowercase().into());
        line.insert("target".into(), event.metadata().target().into());
        line.insert("message".into(), self.message.into());
        if span.is_valid() {
            line.insert("trace_id".into(), span.trace_id().to_string().into());
            line.insert("span_id".into(), span.span_id().to_string().into());
        }
        for (name, value) in self.values {
            line.entry(name).or_insert(value);
        }
        line
    }

    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            // A plugin's own fields come as JSON text and stand beside the others.
            ("fields", Value::String(text)) => match serde_json::from_str(&text) {
                Ok(Value::Object(fields)) => self.values.extend(fields),
                _ => drop(self.values.insert("fields".into(), text.into())),
            },
            // The `log` crate's bookkeeping.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => drop(self.values.insert(name.into(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        let chain: Vec<String> =
            std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
        self.add(field, chain.join(": ").into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{in_span, propagation};
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `act` logs, as a process with our layers writes them.
    fn logged(json: bool, act: impl FnOnce()) -> Vec<String> {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .event_format(Lines { json, colours: false });
        let spans =
            tracing_opentelemetry::layer().with_tracer(SdkTracerProvider::builder().build().tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(spans).with(lines), act);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_carries_the_ids_of_its_span() {
        let parent = propagation::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
        let lines = logged(true, || {
            tracing::info!(port = 7700, "listening");
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(in_span(&parent, async {
                tracing::warn!(why = %"slow", "late");
                tracing::info_span!("inner").in_scope(|| tracing::info!("below"));
            }));
        });
        let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["message"], &lines[0]["port"]), (&"listening".into(), &7700.into()));
        assert_eq!(lines[0].get("trace_id"), None);
        assert_eq!(lines[1]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((&lines[1]["span_id"], &lines[1]["why"]), (&"b7ad6b7169203331".into(), &"slow".into()));
        assert_eq!(
            lines[2]["trace_id"], "0af7651916cd43dd8448eb211c80319c",
            "a tracing span is in the trace"
        );
        assert_ne!(lines[2]["span_id"], "b7ad6b7169203331", "and a span of its own");
    }

    #[test]
    fn a_plugins_fields_stand_beside_the_hosts() {
        let act = || plugin_line("sessions", 2, "reconnecting", Some(&serde_json::json!({"after_ms": 100})));
        let line: Value = serde_json::from_str(&logged(true, act)[0]).unwrap();
        assert_eq!(line["level"], "warn");
        assert_eq!(line["instance"], "sessions");
        assert_eq!(line["after_ms"], 100);
        let pretty = &logged(false, act)[0];
        assert!(pretty.ends_with(" WARN reconnecting instance=sessions after_ms=100"), "{pretty}");
    }
}
