//! Which log lines there are: as the environment and the configuration say at the start, and from then on as somebody asks.

use super::services::Services;
use super::setup::Config;
use crate::config::problem::did_you_mean;
use serde::Serialize;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use tracing::Level;
use tracing_subscriber::{EnvFilter, reload};

/// Target of the lines that plugins write.
pub const PLUGIN_TARGET: &str = "chassis::plugin";

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The filter in force, and who said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// As in `RUST_LOG`: `info,chassis::call=debug`.
    pub filter: String,
    /// `CHASSIS_LOG`, `RUST_LOG`, `telemetry.log`, or `request`.
    pub source: &'static str,
}

/// What changes the filter of this process; a process has one, as it has one standard error.
struct Control {
    apply: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>,
    now: Mutex<Filter>,
    /// Who tells plugins of it.
    plugins: Mutex<Vec<Weak<Services>>>,
}

static CONTROL: OnceLock<Control> = OnceLock::new();

/// From now on the filter of this process is this one, and can be changed by its handle.
pub(super) fn control<S: 'static>(handle: reload::Handle<EnvFilter, S>, now: Filter) {
    let _ = CONTROL.set(Control {
        apply: Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string())),
        now: Mutex::new(now),
        plugins: Mutex::default(),
    });
}

/// Whether the lines that are wanted can be told.
pub(super) fn check(config: &Config) -> Result<(), String> {
    configured(config).map(drop)
}

/// Has a plugin's host told when the level changes.
pub(super) fn follow(services: &Arc<Services>) {
    let Some(control) = CONTROL.get() else { return };
    let mut plugins = lock(&control.plugins);
    plugins.retain(|known| known.strong_count() > 0);
    plugins.push(Arc::downgrade(services));
}

/// The filter in force; none where another subscriber than ours has the log.
pub fn shown() -> Option<Filter> {
    CONTROL.get().map(|control| lock(&control.now).clone())
}

/// Changes it.
///
/// # Errors
/// What is wrong with the text, or that this process has no log of ours.
pub fn set(text: &str) -> Result<Filter, String> {
    let (filter, text) = understood(text)?;
    let control = CONTROL.get().ok_or("the log of this process is not this host's")?;
    (control.apply)(filter)?;
    let now = Filter { filter: text, source: "request" };
    lock(&control.now).clone_from(&now);
    for services in lock(&control.plugins).iter().filter_map(Weak::upgrade) {
        services.level_changed();
    }
    tracing::info!(filter = now.filter, "the log's filter is another one");
    Ok(now)
}

/// The level that plugins are told, so that they make no message in vain: 0 off to 5 trace.
pub fn plugin_level() -> u32 {
    macro_rules! enabled {
        ($level:expr) => {
            tracing::enabled!(target: PLUGIN_TARGET, $level)
        };
    }
    [
        enabled!(Level::TRACE),
        enabled!(Level::DEBUG),
        enabled!(Level::INFO),
        enabled!(Level::WARN),
        enabled!(Level::ERROR),
    ]
    .iter()
    .position(|enabled| *enabled)
    .map_or(0, |at| 5 - at as u32)
}

/// The filter to begin with, and how it is shown.
pub(super) fn configured(config: &Config) -> Result<(EnvFilter, Filter), String> {
    let given = ["CHASSIS_LOG", "RUST_LOG"].into_iter().find_map(|name| {
        let directives = std::env::var(name).ok().filter(|directives| !directives.is_empty())?;
        Some((name, Cow::Owned(directives)))
    });
    let (source, directives) = given.unwrap_or(("telemetry.log", Cow::Borrowed(config.log.as_str())));
    let filter = EnvFilter::try_new(&*directives)
        .map_err(|error| format!("{source} is {directives:?}: {error}; expected for example {EXAMPLE}"))?;
    Ok((filter, Filter { filter: directives.into_owned(), source }))
}

const EXAMPLE: &str = "`info,chassis::call=debug`";

/// What somebody asks for is looked at more closely than the syntax does, which takes `debgu` for the name of a module.
fn understood(text: &str) -> Result<(EnvFilter, String), String> {
    let wrong = |what: String| Err(format!("{what}; expected for example {EXAMPLE}"));
    // Within brackets commas and signs are something else.
    let plain = !text.contains(['[', '{']);
    for directive in text.split(',').map(str::trim).filter(|_| plain) {
        let (module, level) = match directive.rsplit_once('=') {
            Some((module, level)) => (Some(module), level),
            None => (None, directive),
        };
        let known = LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
        if directive.is_empty() {
            return wrong("the filter, or a part of it between commas, is empty".to_owned());
        }
        if !known && module.is_none() && (level == "chassis" || level.contains("::")) {
            return wrong(format!("`{level}` names a module, and no level: write `{level}=debug`"));
        }
        if !known {
            let advice = did_you_mean(level, LEVELS).map(|advice| format!("; {advice}")).unwrap_or_default();
            return wrong(format!("`{level}` is no level{advice}"));
        }
    }
    // Spaces mean nothing, and are not taken.
    let text = if plain { text.split_whitespace().collect() } else { text.to_owned() };
    match EnvFilter::try_new(&text) {
        Ok(filter) => Ok((filter, text)),
        Err(error) => wrong(format!("{text:?}: {error}")),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_understood_or_told() {
        for right in [
            "info",
            "OFF",
            "warn,chassis::policy=debug",
            " error , chassis=TRACE",
            "info,chassis[flow{run=1}]=debug",
        ] {
            assert!(understood(right).is_ok(), "{right}");
        }
        for (wrong, told) in [
            ("", "is empty"),
            ("info,,debug", "is empty"),
            ("debgu", "`debgu` is no level; did you mean `debug`?"),
            ("info,chassis::call=loud", "`loud` is no level; one of: off, error"),
            ("chassis::call", "write `chassis::call=debug`"),
            ("info,[x=", "expected for example"),
        ] {
            let error = understood(wrong).unwrap_err();
            assert!(error.contains(told) && error.contains(EXAMPLE), "{wrong}: {error}");
        }
    }
}
