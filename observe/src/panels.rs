//! Every query of every panel, on the real Prometheus, after two minutes of load: each has data. What is rightly empty, or nought,
//! on a healthy system is provoked with commands that an operator may type, and must show something then.

use crate::ask::Asking;
use crate::linter;
use crate::load::Load;
use crate::prometheus::Prometheus;
use crate::slowly;
use crate::stack::{Options, Stack, root};
use anyhow::{Context, Result, bail, ensure};
use chassis_faults::host::Host;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Panels there are.
    pub panels: usize,
    /// Panels all of whose queries had data.
    pub with_data: usize,
    /// Those that had none; a line each.
    pub empty: Vec<String>,
}

/// A panel and its queries, with the variables filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// The dashboard's uid.
    pub dashboard: String,
    /// Its title.
    pub title: String,
    /// Its queries.
    pub queries: Vec<String>,
}

/// A panel that has nothing to show while all is well.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quiet {
    dashboard: String,
    panel: String,
    healthy: Healthy,
    provoke: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Healthy {
    /// There is no series.
    Empty,
    /// There are series, all at nought.
    Nought,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuietPanels {
    panel: Vec<Quiet>,
}

/// The load's length.
const LOAD: Duration = Duration::from_secs(120);
/// What `$__rate_interval` comes to with the shipped scrape interval of 5 s.
const RATE_INTERVAL: &str = "20s";
/// How long what was provoked may take to be seen.
const SEEN: Duration = Duration::from_secs(45);

/// Runs it.
pub async fn run() -> Result<Found> {
    let options = Options { flows: vec![slowly::FLOW], ..Options::default() };
    let stack = Stack::start(&options).await?;
    let host = stack.host().await?;
    let asking = Asking::new(&host)?;
    slowly::declare(&asking).await?;
    stack.scraped().await?;
    let load = Load::begin(&asking, 4);
    tokio::time::sleep(LOAD).await;
    let panels = read(&root().join("grafana/dashboards"))?;
    let quiet = quiet(&panels)?;
    let mut found = Found { panels: panels.len(), ..Found::default() };
    for panel in &panels {
        let is = |quiet: &&Quiet| quiet.dashboard == panel.dashboard && quiet.panel == panel.title;
        let listed = quiet.iter().find(is);
        let outcome = match listed {
            None => has_data(&stack.prometheus, panel, false).await,
            Some(quiet) => {
                let outcome = provoked(&stack, panel, quiet).await;
                host.clear().await?;
                outcome
            }
        };
        match outcome {
            Ok(()) => found.with_data += 1,
            Err(reason) => {
                found.empty.push(format!("{}, panel `{}`: {reason:#}", panel.dashboard, panel.title));
            }
        }
    }
    // By now each has been met: some are there from their first event on.
    found.empty.extend(unknown_metrics(&host).await?);
    let rounds = load.end().await;
    ensure!(rounds > 50, "the load came to {rounds} rounds only: {}", host.log_tail());
    host.stop().await?;
    Ok(found)
}

/// The metrics that a page asks for, in a panel or a mark, and that the host does not have; a line each.
async fn unknown_metrics(host: &Host) -> Result<Vec<String>> {
    let text = reqwest::get(format!("{}/metrics", host.base())).await?.text().await?;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let known = types.map(str::to_owned).collect();
    let dashboards = linter::read(&root().join("grafana/dashboards"))?;
    Ok(linter::unknown_metrics(&dashboards, &known).iter().map(ToString::to_string).collect())
}

/// A panel that has nothing to show while all is well: it is as it is said to be, and shows something when it is provoked.
async fn provoked(stack: &Stack, panel: &Panel, quiet: &Quiet) -> Result<()> {
    if quiet.healthy == Healthy::Nought {
        has_data(&stack.prometheus, panel, false).await.context("while all is well")?;
    }
    let begun = Instant::now();
    let mut said = String::new();
    loop {
        for line in &quiet.provoke {
            said = format!("`chassis {line}` said: {}", type_in(stack, line).await?);
        }
        let outcome = has_data(&stack.prometheus, panel, true).await;
        if outcome.is_ok() || begun.elapsed() > SEEN {
            return outcome.context(said);
        }
    }
}

/// Every query of a panel answers with a value; with one that is not nought, if that is wanted of any of them.
async fn has_data(prometheus: &Prometheus, panel: &Panel, not_nought: bool) -> Result<()> {
    let mut more = false;
    for query in &panel.queries {
        let values = prometheus.values(query, LOAD, Duration::from_secs(5)).await?;
        ensure!(!values.is_empty(), "no data from {query}");
        more |= values.iter().any(|value| *value != 0.0);
    }
    ensure!(more || !not_nought, "nought from {:?}", panel.queries);
    Ok(())
}

/// One command line of `chassis`, with the host's own configuration.
pub async fn type_in(stack: &Stack, line: &str) -> Result<String> {
    let binary = crate::stack::tool("CHASSIS_HOST")?;
    let mut command = Command::new(binary);
    command.args(words(line)?).arg("--config").arg(stack.path("host.toml"));
    command.env("CHASSIS__EDGE__LISTEN", stack.listen()).stdin(Stdio::null());
    let output = command.output().await.context("cannot run chassis")?;
    let text = [output.stdout, output.stderr].concat();
    // Wrong usage is a mistake in the list, not a fault that was provoked.
    ensure!(output.status.code() != Some(2), "`chassis {line}`: {}", String::from_utf8_lossy(&text));
    Ok(String::from_utf8_lossy(&text).trim().chars().take(300).collect())
}

/// Splits a command line at its spaces; single quotes keep together.
fn words(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        match at % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    if line.matches('\'').count() % 2 == 1 {
        bail!("a quote is not closed: {line}")
    }
    Ok(words)
}

/// The list beside this file; each of its panels must be there.
fn quiet(panels: &[Panel]) -> Result<Vec<Quiet>> {
    let list: QuietPanels = toml::from_str(include_str!("panels_empty_when_healthy.toml"))?;
    for quiet in &list.panel {
        let there = |panel: &Panel| panel.dashboard == quiet.dashboard && panel.title == quiet.panel;
        ensure!(panels.iter().any(there), "there is no panel `{}` in {}", quiet.panel, quiet.dashboard);
        ensure!(!quiet.provoke.is_empty(), "`{}` says not how it is provoked", quiet.panel);
    }
    Ok(list.panel)
}

/// The panels of every dashboard in a folder.
pub fn read(folder: &Path) -> Result<Vec<Panel>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(|file| file.file_name());
    let mut panels = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file.path())?;
        let dashboard: Value =
            serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.path().display()))?;
        collect(&dashboard, &dashboard, &mut panels)?;
    }
    ensure!(!panels.is_empty(), "there is no panel in {}", folder.display());
    Ok(panels)
}

/// Panels may stand in rows.
fn collect(dashboard: &Value, above: &Value, panels: &mut Vec<Panel>) -> Result<()> {
    for panel in above["panels"].as_array().into_iter().flatten() {
        if panel["type"] == "row" {
            collect(dashboard, panel, panels)?;
            continue;
        }
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let queries: Vec<String> = targets
            .iter()
            .filter_map(|target| target["expr"].as_str())
            .map(|query| fill(query, dashboard))
            .collect();
        let title = panel["title"].as_str().unwrap_or_default().to_owned();
        if panel["type"] == "text" {
            continue;
        }
        ensure!(!queries.is_empty(), "the panel `{title}` asks nothing");
        if let Some(query) = queries.iter().find(|query| query.contains('$')) {
            bail!("the panel `{title}` has a variable that is not known: {query}");
        }
        let dashboard = dashboard["uid"].as_str().unwrap_or_default().to_owned();
        panels.push(Panel { dashboard, title, queries });
    }
    Ok(())
}

/// Puts in what Grafana puts in when everything is chosen.
fn fill(query: &str, dashboard: &Value) -> String {
    let mut filled = query.replace("$__rate_interval", RATE_INTERVAL).replace("$__interval", "5s");
    filled = filled.replace("$__range", &format!("{}s", LOAD.as_secs()));
    for variable in dashboard["templating"]["list"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().unwrap_or_default();
        let all = variable["allValue"].as_str().unwrap_or(".+");
        for form in [format!("${{{name}:regex}}"), format!("${{{name}}}"), format!("${name}")] {
            filled = filled.replace(&form, all);
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_are_filled_in_and_rows_are_opened() {
        let dashboard = json!({
            "uid": "chassis-x",
            "templating": { "list": [{ "name": "job", "allValue": ".+" }] },
            "panels": [{ "type": "row", "panels": [
                { "type": "stat", "title": "T", "targets": [{ "expr": "rate(a{job=~\"$job\"}[$__rate_interval])" }] }
            ] }],
        });
        let mut panels = Vec::new();
        collect(&dashboard, &dashboard, &mut panels).unwrap();
        assert_eq!(panels[0].queries, ["rate(a{job=~\".+\"}[20s])"]);
        let unknown = json!({ "panels": [{ "title": "T", "targets": [{ "expr": "a{b=\"$c\"}" }] }] });
        assert!(collect(&unknown, &unknown, &mut panels).unwrap_err().to_string().contains("not known"));
    }

    #[test]
    fn each_panel_of_the_list_is_there() {
        let panels = read(&root().join("grafana/dashboards")).unwrap();
        let quiet = quiet(&panels).unwrap();
        assert!(quiet.iter().flat_map(|quiet| &quiet.provoke).all(|line| words(line).is_ok()));
    }

    #[test]
    fn command_lines_are_split_as_a_shell_does() {
        assert_eq!(
            words("flow run a '{\"b\": 1}' --json").unwrap(),
            ["flow", "run", "a", "{\"b\": 1}", "--json"]
        );
        assert!(words("a 'b").is_err());
    }
}
