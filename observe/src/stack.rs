//! The shipped stack without containers: Jaeger, Prometheus and Alertmanager as processes with the files of `jaeger/` and
//! `prometheus/`, and a host of the profile `local` which they watch.

use crate::jaeger::Jaeger;
use crate::process::{Process, free_port};
use crate::prometheus::{Alertmanager, Prometheus};
use crate::shorten::shorten;
use anyhow::{Context, Result, ensure};
use chassis_faults::host::Host;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What is watched and what watches.
pub struct Stack {
    folder: TempDir,
    ports: Ports,
    /// Jaeger's query API.
    pub jaeger: Jaeger,
    /// Prometheus' API.
    pub prometheus: Prometheus,
    /// Alertmanager's API.
    pub alertmanager: Alertmanager,
    jaeger_process: Option<Process>,
    _others: [Process; 2],
}

/// How a stack differs from the shipped one.
#[derive(Clone, Debug)]
pub struct Options {
    /// The windows of rules and the intervals are divided by this.
    pub shorten: u32,
    /// Flows besides the shipped ones: name and file.
    pub flows: Vec<(&'static str, &'static str)>,
    /// More for the host's configuration: whole tables.
    pub host: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { shorten: 1, flows: Vec::new(), host: String::new() }
    }
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    host: u16,
    otlp: u16,
    otlp_http: u16,
    query: u16,
    query_grpc: u16,
    health: u16,
    spanmetrics: u16,
    telemetry: u16,
    prometheus: u16,
    alertmanager: u16,
}

/// How long until everything is scraped once.
const SCRAPED: Duration = Duration::from_secs(60);

impl Stack {
    /// Starts what watches; no host runs yet.
    pub async fn start(options: &Options) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("chassis-observe").tempdir()?;
        let ports = Ports {
            host: free_port()?,
            otlp: free_port()?,
            otlp_http: free_port()?,
            query: free_port()?,
            query_grpc: free_port()?,
            health: free_port()?,
            spanmetrics: free_port()?,
            telemetry: free_port()?,
            prometheus: free_port()?,
            alertmanager: free_port()?,
        };
        write_prometheus(folder.path(), &ports, options.shorten)?;
        write_host(folder.path(), &ports, options)?;
        let alertmanager = start_alertmanager(folder.path(), &ports).await?;
        let prometheus = start_prometheus(folder.path(), &ports).await?;
        let jaeger = start_jaeger(folder.path(), &ports).await?;
        let at = |port: u16| format!("http://127.0.0.1:{port}");
        Ok(Self {
            ports,
            jaeger: Jaeger::new(at(ports.query)),
            prometheus: Prometheus::new(at(ports.prometheus)),
            alertmanager: Alertmanager::new(at(ports.alertmanager)),
            jaeger_process: Some(jaeger),
            _others: [prometheus, alertmanager],
            folder,
        })
    }

    /// Starts a host and prepares its stores. One at a time: it has the address that is scraped.
    pub async fn host(&self) -> Result<Host> {
        let variables = [
            ("CHASSIS__EDGE__LISTEN", self.listen()),
            ("OTEL_BSP_SCHEDULE_DELAY", "200".to_owned()),
            ("OTEL_SERVICE_NAME", "chassis".to_owned()),
        ];
        let host = Host::start_with(&self.path("host.toml"), &self.path("host.log"), &variables).await?;
        let (status, answer) = host.flow("setup", &json!({}), None).await?;
        ensure!(status == 200, "setup ended with {status}: {answer}\n{}", host.log_tail());
        Ok(host)
    }

    /// Waits until Prometheus has scraped host and Jaeger.
    pub async fn scraped(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let up = self.prometheus.jobs_up().await?;
            if ["chassis", "jaeger"].iter().all(|job| up.contains(*job)) {
                return Ok(());
            }
            ensure!(begun.elapsed() < SCRAPED, "Prometheus has scraped only {up:?}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Ends Jaeger, or starts it again on the same ports, with nothing in it.
    pub async fn jaeger_runs(&mut self, runs: bool) -> Result<()> {
        self.jaeger_process = None;
        if runs {
            self.jaeger_process = Some(start_jaeger(self.folder.path(), &self.ports).await?);
        }
        Ok(())
    }

    /// Where its host listens.
    pub fn listen(&self) -> String {
        format!("127.0.0.1:{}", self.ports.host)
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The path of a program that `cargo xtask observe` names.
pub fn tool(variable: &str) -> Result<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    path.with_context(|| format!("{variable} is not set: run `cargo xtask observe`"))
}

fn read(path: &str) -> Result<String> {
    let path = root().join(path);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The shipped configuration of Prometheus with the addresses of this stack.
fn write_prometheus(folder: &Path, ports: &Ports, factor: u32) -> Result<()> {
    let mut text = read("prometheus/prometheus.yml")?;
    for (name, port) in [
        ("chassis:7700", ports.host),
        ("jaeger:8889", ports.spanmetrics),
        ("alertmanager:9093", ports.alertmanager),
        ("localhost:9090", ports.prometheus),
    ] {
        ensure!(text.contains(name), "prometheus/prometheus.yml does not name {name}");
        text = text.replace(name, &format!("127.0.0.1:{port}"));
    }
    std::fs::write(folder.join("prometheus.yml"), shorten(&text, factor))?;
    std::fs::create_dir_all(folder.join("rules"))?;
    for entry in std::fs::read_dir(root().join("prometheus/rules"))? {
        let path = entry?.path();
        let name = path.file_name().context("a rule file has no name")?;
        std::fs::write(folder.join("rules").join(name), shorten(&std::fs::read_to_string(&path)?, factor))?;
    }
    let alerts = read("prometheus/alertmanager.yml")?;
    std::fs::write(folder.join("alertmanager.yml"), shorten(&alerts, factor))?;
    Ok(())
}

/// The profile `local`, with its own journal, Jaeger and faults.
fn write_host(folder: &Path, ports: &Ports, options: &Options) -> Result<()> {
    let flows = folder.join("flows");
    std::fs::create_dir_all(&flows)?;
    for entry in std::fs::read_dir(root().join("flows"))? {
        let path = entry?.path();
        let name = path.file_name().context("a flow has no name")?;
        if path.extension().is_some_and(|extension| extension == "toml") {
            std::fs::copy(&path, flows.join(name))?;
        }
    }
    for (name, text) in &options.flows {
        std::fs::write(flows.join(format!("{name}.toml")), text)?;
    }
    let text = read("config/local.toml")?;
    let line = "flows_dir = \"flows\"";
    ensure!(text.contains(line), "config/local.toml has no line `{line}`");
    let text = text.replace(line, &format!("flows_dir = {flows:?}"));
    let own = format!(
        "\n[telemetry]\nlog_format = \"json\"\notlp_endpoint = \"http://127.0.0.1:{}\"\n\n\
         [fault_injection]\nenabled = true\nseed = 1\n\n[journal]\nurl = \"sqlite:{}\"\n{}",
        ports.otlp,
        folder.join("journal.db").display(),
        options.host,
    );
    std::fs::write(folder.join("host.toml"), text + &own)?;
    Ok(())
}

async fn start_jaeger(folder: &Path, ports: &Ports) -> Result<Process> {
    let mut command = Command::new(tool("CHASSIS_JAEGER")?);
    command.current_dir(root().join("jaeger")).arg("--config").arg("config.yaml").envs([
        ("JAEGER_LISTEN", "127.0.0.1".to_owned()),
        ("JAEGER_OTLP_GRPC_PORT", ports.otlp.to_string()),
        ("JAEGER_OTLP_HTTP_PORT", ports.otlp_http.to_string()),
        ("JAEGER_QUERY_PORT", ports.query.to_string()),
        ("JAEGER_QUERY_GRPC_PORT", ports.query_grpc.to_string()),
        ("JAEGER_HEALTH_PORT", ports.health.to_string()),
        ("JAEGER_METRICS_PORT", ports.spanmetrics.to_string()),
        ("JAEGER_TELEMETRY_PORT", ports.telemetry.to_string()),
        ("JAEGER_PROMETHEUS_URL", format!("http://127.0.0.1:{}", ports.prometheus)),
        ("JAEGER_UI_CONFIG", "ui.json".to_owned()),
    ]);
    Process::start("jaeger", command, folder, &format!("http://127.0.0.1:{}/status", ports.health)).await
}

async fn start_prometheus(folder: &Path, ports: &Ports) -> Result<Process> {
    let mut command = Command::new(tool("CHASSIS_PROMETHEUS")?);
    command.current_dir(folder).args([
        "--config.file=prometheus.yml".to_owned(),
        "--storage.tsdb.path=prometheus".to_owned(),
        "--enable-feature=exemplar-storage".to_owned(),
        format!("--web.listen-address=127.0.0.1:{}", ports.prometheus),
    ]);
    let ready = format!("http://127.0.0.1:{}/-/ready", ports.prometheus);
    Process::start("prometheus", command, folder, &ready).await
}

async fn start_alertmanager(folder: &Path, ports: &Ports) -> Result<Process> {
    let mut command = Command::new(tool("CHASSIS_ALERTMANAGER")?);
    command.current_dir(folder).args([
        "--config.file=alertmanager.yml".to_owned(),
        "--storage.path=alertmanager".to_owned(),
        "--cluster.listen-address=".to_owned(),
        format!("--web.listen-address=127.0.0.1:{}", ports.alertmanager),
    ]);
    let ready = format!("http://127.0.0.1:{}/-/ready", ports.alertmanager);
    Process::start("alertmanager", command, folder, &ready).await
}
