//! Every query of every panel, on the real Prometheus, after two minutes of load: each has data. What is rightly empty, or nought,
//! on a healthy system is provoked with commands that an operator may type, and must show something then.

use crate::ask::Asking;
use crate::linter;
use crate::linter::model::Dashboard;
use crate::load::Load;
use crate::prometheus::Prometheus;
use crate::slowly;
use crate::stack::{Options, Stack, root};
use anyhow::{Context, Result, bail, ensure};
use chassis_faults::host::Host;
use serde::Deserialize;
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
struct Panel {
    /// The dashboard's uid.
    dashboard: String,
    /// Its title.
    title: String,
    /// Its queries.
    queries: Vec<String>,
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
    let dashboards = linter::read(&root().join("grafana/dashboards"))?;
    let panels = panels(&dashboards)?;
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
    found.empty.extend(unknown_metrics(&host, &dashboards).await?);
    let rounds = load.end().await;
    ensure!(rounds > 50, "the load came to {rounds} rounds only: {}", host.log_tail());
    host.stop().await?;
    Ok(found)
}

/// The metrics that a page asks for, in a panel or a mark, and that the host does not have; a line each.
async fn unknown_metrics(host: &Host, dashboards: &[Dashboard]) -> Result<Vec<String>> {
    let text = reqwest::get(format!("{}/metrics", host.base())).await?.text().await?;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let known = types.map(str::to_owned).collect();
    Ok(linter::unknown_metrics(dashboards, &known).iter().map(ToString::to_string).collect())
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
async fn type_in(stack: &Stack, line: &str) -> Result<String> {
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

/// The panels of every page, with what Grafana puts in when everything is chosen.
fn panels(dashboards: &[Dashboard]) -> Result<Vec<Panel>> {
    let mut panels = Vec::new();
    for dashboard in dashboards {
        let value = |name: &str| match name {
            "__rate_interval" => Some(RATE_INTERVAL.to_owned()),
            "__range" => Some(format!("{}s", LOAD.as_secs())),
            _ => {
                let known = dashboard.templating.list.iter().find(|variable| variable.name == name);
                known.map(|variable| variable.all_value.clone().unwrap_or_else(|| ".+".to_owned()))
            }
        };
        for panel in dashboard.every_panel() {
            let title = panel.title.clone();
            let queries: Vec<String> =
                panel.targets.iter().map(|target| linter::fill(&target.expr, value)).collect();
            ensure!(!queries.is_empty(), "the panel `{title}` asks nothing");
            if let Some(query) = queries.iter().find(|query| query.contains('$')) {
                bail!("the panel `{title}` has a variable that is not known: {query}");
            }
            panels.push(Panel { dashboard: dashboard.uid.clone(), title, queries });
        }
    }
    Ok(panels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parsed(text: &str) -> Dashboard {
        Dashboard::parse(text, Path::new("page.json")).unwrap()
    }

    #[test]
    fn variables_are_filled_in_and_one_that_is_not_known_is_told() {
        let mut page = parsed(include_str!("linter/good.json"));
        let filled = panels(std::slice::from_ref(&page)).unwrap();
        assert!(filled.iter().flat_map(|panel| &panel.queries).all(|query| !query.contains('$')));
        assert!(filled.iter().flat_map(|panel| &panel.queries).any(|query| query.contains("[20s]")));
        page.templating.list.clear();
        assert!(panels(&[page]).unwrap_err().to_string().contains("not known"));
    }

    #[test]
    fn each_panel_of_the_list_is_there() {
        let dashboards = linter::read(&root().join("grafana/dashboards")).unwrap();
        let quiet = quiet(&panels(&dashboards).unwrap()).unwrap();
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
