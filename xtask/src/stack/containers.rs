//! Reading what `compose ps --format json` says: an array or a line each, Docker's words or Podman's.

use anyhow::{Context, Result};
use serde_json::Value;

/// One container, as the engine sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    pub service: String,
    pub standing: Standing,
    /// The engine's own words, for people.
    pub status: String,
}

/// How it is, as far as it concerns us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// Made, but something it depends on is not healthy yet.
    Waiting,
    /// It runs, and its health check has not passed yet.
    Starting,
    Healthy,
    /// It runs, and its health check fails.
    Unhealthy,
    /// It ended, or ends again and again.
    Ended,
}

impl Standing {
    /// The word that people and programs read.
    pub fn word(self) -> &'static str {
        match self {
            Standing::Waiting => "waiting",
            Standing::Starting => "starting",
            Standing::Healthy => "healthy",
            Standing::Unhealthy => "unhealthy",
            Standing::Ended => "ended",
        }
    }
}

/// Reads the output.
pub fn parse(output: &str) -> Result<Vec<Container>> {
    let output = output.trim();
    let read = |text: &str| {
        serde_json::from_str(text).with_context(|| format!("`compose ps` said what is no JSON: {text}"))
    };
    let rows: Vec<Value> = if output.starts_with('[') {
        serde_json::from_str(output).context("`compose ps` said what is no JSON")?
    } else {
        output.lines().filter(|line| !line.trim().is_empty()).map(read).collect::<Result<_>>()?
    };
    let mut containers: Vec<Container> = rows.iter().filter_map(container).collect();
    containers.sort_by(|a, b| a.service.cmp(&b.service));
    Ok(containers)
}

fn container(row: &Value) -> Option<Container> {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    const LABEL: &str = "com.docker.compose.service";
    let service = match (text("Service"), &row["Labels"]) {
        ("", Value::Object(labels)) => labels.get(LABEL)?.as_str()?,
        ("", Value::String(labels)) => {
            labels.split(',').find_map(|label| label.strip_prefix(LABEL)?.strip_prefix('='))?
        }
        (service, _) => service,
    };
    let status = text("Status");
    // Podman tells the health in the status only: `Up 3 seconds (healthy)`.
    let inside = status.rsplit_once('(').map(|(_, rest)| rest.trim_end_matches(')'));
    let health = match (text("Health"), inside) {
        ("", Some(inside)) => inside.trim_start_matches("health: "),
        (health, _) => health,
    };
    let standing = match (text("State"), health) {
        ("created" | "configured" | "initialized", _) => Standing::Waiting,
        ("running", "unhealthy") => Standing::Unhealthy,
        ("running", "starting") => Standing::Starting,
        // Every service has a health check; one that the engine does not run is not waited for.
        ("running", _) => Standing::Healthy,
        _ => Standing::Ended,
    };
    Some(Container { service: service.to_owned(), standing, status: status.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standings(output: &str) -> Vec<(String, Standing)> {
        parse(output).unwrap().into_iter().map(|container| (container.service, container.standing)).collect()
    }

    #[test]
    fn docker_prints_a_line_each() {
        let output = r#"{"Name":"chassis-redis-1","Service":"redis","State":"running","Health":"healthy","Status":"Up 3 seconds (healthy)"}
{"Name":"chassis-chassis-1","Service":"chassis","State":"created","Health":"","Status":"Created"}
{"Name":"chassis-mongodb-1","Service":"mongodb","State":"running","Health":"starting","Status":"Up 1 second (health: starting)"}
{"Name":"chassis-postgres-1","Service":"postgres","State":"exited","Health":"","ExitCode":1,"Status":"Exited (1) 2 seconds ago"}
{"Name":"chassis-api-1","Service":"api","State":"restarting","Health":"","Status":"Restarting (1) 2 seconds ago"}"#;
        let expected = [
            ("api", Standing::Ended),
            ("chassis", Standing::Waiting),
            ("mongodb", Standing::Starting),
            ("postgres", Standing::Ended),
            ("redis", Standing::Healthy),
        ];
        assert_eq!(standings(output), expected.map(|(name, standing)| (name.to_owned(), standing)));
    }

    #[test]
    fn older_ones_print_an_array_and_podman_its_own() {
        let old = r#"[{"Service":"redis","State":"running","Health":"unhealthy"}]"#;
        assert_eq!(standings(old), [("redis".to_owned(), Standing::Unhealthy)]);
        let podman = r#"[{"Names":["chassis_redis_1"],"State":"running","Status":"Up 3 seconds (starting)",
            "Labels":{"com.docker.compose.service":"redis"}},
            {"Names":["x"],"State":"running","Status":"Up","Labels":{}}]"#;
        assert_eq!(standings(podman), [("redis".to_owned(), Standing::Starting)]);
        let labels =
            r#"{"State":"running","Labels":"a=b,com.docker.compose.service=api","Status":"Up (healthy)"}"#;
        assert_eq!(standings(labels), [("api".to_owned(), Standing::Healthy)]);
    }

    #[test]
    fn nothing_runs_and_nonsense_is_told() {
        assert_eq!(parse("\n").unwrap(), []);
        assert_eq!(parse("[]").unwrap(), []);
        let error = format!("{:#}", parse("no such project").unwrap_err());
        assert!(error.contains("no such project"), "{error}");
    }
}
