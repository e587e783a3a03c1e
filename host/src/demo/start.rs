//! From a profile to a stage, and back to an empty one.

use super::{Other, Outage, ROLES, Report, Screen, Stage, play};
use crate::app::{App, StartError};
use crate::config::{Config, Source};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What `chassis demo` is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration.
    pub source: Source,
    /// The program, which is also run as a second host.
    pub binary: PathBuf,
    /// The report is printed as JSON in the last line; everything else goes to standard error.
    pub json: bool,
}

/// Starts a host of its own, plays the demo, and stops the host. The demo is a success if the report is.
pub async fn run(options: &Options) -> Result<Report, StartError> {
    let screen = Screen::new(options.json);
    let data = Data::fresh();
    let given = BTreeMap::from([("CHASSIS_DATA".to_owned(), data.0.display().to_string())]);
    let mut config = Config::load_with(&options.source, &given)?;
    // The demo tells itself what goes wrong, and a backend that is down is part of the play.
    config.telemetry.log = "error".to_owned();
    screen.line(&format!("chassis demo, profile {}", config.name));
    let app = App::start(config).await?;
    let other =
        Other { binary: options.binary.clone(), source: options.source.clone(), data: data.0.clone() };
    let stage = stage(&app, other);
    let outage = stage.outage.clone();
    let report = tokio::select! {
        report = play(stage, screen) => report,
        _ = tokio::signal::ctrl_c() => {
            // Given up by the person who watches: at least the backend is brought back.
            let _ = outage.end().await;
            Report::new(&app.config.name)
        }
    };
    app.stop().await;
    drop(data);
    if options.json {
        print(&report);
    }
    Ok(report)
}

fn stage(app: &App, other: Other) -> Stage {
    let player = |role: &str| Some((role.to_owned(), app.registry.role(role)?.name().to_owned()));
    let roles: BTreeMap<String, String> = ROLES.into_iter().filter_map(player).collect();
    // The role that is taken away.
    let search = app.registry.role("search");
    let file = search.and_then(|instance| instance.files().first().cloned());
    let search = search.map_or("search", |instance| instance.name());
    Stage {
        profile: app.config.name.clone(),
        host: app.registry.clone(),
        calls: app.registry.clone(),
        engine: app.engine.clone(),
        telemetry: app.telemetry.clone(),
        outage: Outage::of(search, file),
        other,
        started_in: app.started_in(),
        roles,
    }
}

/// A reader that has gone away is no reason to end badly.
fn print(report: &Report) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{}", report.json());
}

/// A folder for backends that live in files: new for each demo, gone with it.
struct Data(PathBuf);

impl Data {
    fn fresh() -> Self {
        Self(std::env::temp_dir().join(format!("chassis-demo-{}", uuid::Uuid::new_v4())))
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let folder: &Path = &self.0;
        let _ = std::fs::remove_dir_all(folder);
    }
}
