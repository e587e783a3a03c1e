//! A dashboard, as far as rules and queries need it.

use super::promql;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::Path;

/// A dashboard, as Grafana writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dashboard {
    /// By which links find it.
    #[serde(default)]
    pub uid: String,
    /// What it is called.
    #[serde(default)]
    pub title: String,
    /// Grafana takes what is not said for true.
    #[serde(default = "yes")]
    pub editable: bool,
    /// The version of the format.
    #[serde(default)]
    pub schema_version: u64,
    /// By which links to all of a kind find it.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Links at the top of the page.
    #[serde(default)]
    pub links: Vec<Value>,
    /// What is marked in all of its panels.
    #[serde(default)]
    pub annotations: List<Annotation>,
    /// What can be chosen at the top of the page.
    #[serde(default)]
    pub templating: List<Variable>,
    /// Rows and panels, from the top.
    #[serde(default)]
    pub panels: Vec<Panel>,
    /// Whatever else it says.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

fn yes() -> bool {
    true
}

/// A list in a table of its own.
#[derive(Clone, Debug, Deserialize)]
pub struct List<T> {
    /// Its items.
    pub list: Vec<T>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { list: Vec::new() }
    }
}

/// Marks in panels, from a query.
#[derive(Clone, Debug, Deserialize)]
pub struct Annotation {
    /// What it is called.
    #[serde(default)]
    pub name: String,
    /// Its query.
    #[serde(default)]
    pub expr: String,
    /// Whom to ask.
    #[serde(default)]
    pub datasource: Value,
}

/// Something to be chosen.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    /// By which queries use it.
    #[serde(default)]
    pub name: String,
    /// What the page calls it.
    #[serde(default)]
    pub label: String,
    /// `query`, `datasource`, `custom`, …
    #[serde(default, rename = "type")]
    pub kind: String,
    /// Where its values come from: text, or a table with `query`.
    #[serde(default)]
    pub query: Value,
    /// Whom to ask.
    #[serde(default)]
    pub datasource: Value,
    /// Several can be chosen.
    #[serde(default)]
    pub multi: bool,
    /// What stands for all of them.
    #[serde(default)]
    pub all_value: Option<String>,
    /// When its values are asked for: 2 is whenever the time range changes.
    #[serde(default)]
    pub refresh: u64,
    /// What is chosen.
    #[serde(default)]
    pub current: Value,
}

/// A panel, or a row.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    /// Its number in the dashboard.
    #[serde(default)]
    pub id: u64,
    /// Its heading.
    #[serde(default)]
    pub title: String,
    /// What it shows, and what to do when it looks bad.
    #[serde(default)]
    pub description: String,
    /// `timeseries`, `stat`, `row`, …
    #[serde(default, rename = "type")]
    pub kind: String,
    /// Whom to ask.
    #[serde(default)]
    pub datasource: Value,
    /// Its queries.
    #[serde(default)]
    pub targets: Vec<Target>,
    /// How values are shown.
    #[serde(default)]
    pub field_config: Value,
    /// How the panel is drawn.
    #[serde(default)]
    pub options: Value,
    /// Where it stands.
    #[serde(default)]
    pub grid_pos: GridPos,
    /// The panels of a collapsed row.
    #[serde(default)]
    pub panels: Vec<Panel>,
}

/// A place in the grid, which has 24 columns.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[expect(missing_docs, reason = "Grafana's own letters: height, width, column, line")]
pub struct GridPos {
    pub h: u64,
    pub w: u64,
    pub x: u64,
    pub y: u64,
}

/// A query of a panel.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Its letter.
    #[serde(default)]
    pub ref_id: String,
    /// The query.
    #[serde(default)]
    pub expr: String,
    /// What a series is called.
    #[serde(default)]
    pub legend_format: String,
    /// `time_series`, `table` or `heatmap`.
    #[serde(default)]
    pub format: String,
    /// Traces are shown with it.
    #[serde(default)]
    pub exemplar: bool,
    /// It is asked for one moment, not for a range.
    #[serde(default)]
    pub instant: bool,
    /// It is not shown.
    #[serde(default)]
    pub hide: bool,
    /// The panel whose data it shows.
    #[serde(default)]
    pub panel_id: Option<u64>,
    /// Whom to ask.
    #[serde(default)]
    pub datasource: Value,
}

impl Dashboard {
    /// Reads one; `file` is told in errors.
    pub fn parse(text: &str, file: &Path) -> Result<Self> {
        serde_json::from_str(text).with_context(|| format!("{} is no dashboard", file.display()))
    }

    /// Those in a folder, in the order of their files' names.
    pub fn all(folder: &Path) -> Result<Vec<Self>> {
        let entries =
            std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        if files.is_empty() {
            bail!("there is no dashboard in {}", folder.display());
        }
        let read = |file: &Path| std::fs::read_to_string(file).with_context(|| file.display().to_string());
        files.iter().map(|file| Self::parse(&read(file)?, file)).collect()
    }

    /// Every panel, those in rows too; the rows themselves are none.
    pub fn every_panel(&self) -> impl Iterator<Item = &Panel> {
        let both = self.panels.iter().flat_map(|panel| std::iter::once(panel).chain(&panel.panels));
        both.filter(|panel| panel.kind != "row")
    }

    /// Every query, with its panel.
    pub fn targets(&self) -> impl Iterator<Item = (&Panel, &Target)> {
        self.every_panel().flat_map(|panel| panel.targets.iter().map(move |target| (panel, target)))
    }

    /// Every metric that its queries and annotations name; a histogram by its own name.
    pub fn metrics(&self) -> BTreeSet<String> {
        let queries = self.targets().map(|(_, target)| &*target.expr);
        let marks = self.annotations.list.iter().map(|annotation| &*annotation.expr);
        let found = queries.chain(marks).flat_map(promql::metrics);
        found.map(|metric| family(&metric).to_owned()).collect()
    }

    /// The variables of a kind.
    pub fn variables<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Variable> {
        self.templating.list.iter().filter(move |variable| variable.kind == kind)
    }

    /// Whether its first data source is of this kind.
    pub fn asks(&self, kind: &str) -> bool {
        self.variables("datasource").next().is_some_and(|variable| variable.query() == kind)
    }
}

impl Variable {
    /// Where its values come from.
    pub fn query(&self) -> &str {
        self.query.as_str().or_else(|| self.query["query"].as_str()).unwrap_or_default()
    }
}

impl Panel {
    /// What is said of a query of it.
    pub fn place(&self, target: &Target) -> String {
        format!("{}, {}", self.title, target.ref_id)
    }

    /// The values that its overrides give to a property.
    pub fn overrides<'a>(&'a self, property: &'a str) -> impl Iterator<Item = &'a Value> {
        let all = self.field_config["overrides"].as_array().into_iter().flatten();
        let each = all.flat_map(|one| one["properties"].as_array().into_iter().flatten());
        each.filter(move |each| each["id"] == property).map(|each| &each["value"])
    }
}

/// The histogram that a metric is a part of, or itself.
fn family(metric: &str) -> &str {
    let parts = ["_bucket", "_sum", "_count"].into_iter();
    let of_time = |part| metric.strip_suffix(part).filter(|rest| rest.ends_with("_seconds"));
    parts.filter_map(of_time).next().unwrap_or(metric)
}

/// The uid of a data source, which may be named alone or in a table.
pub fn uid(datasource: &Value) -> &str {
    datasource.as_str().or_else(|| datasource["uid"].as_str()).unwrap_or_default()
}
