//! A host as a process: started, asked, killed, started again.

use anyhow::{Context, Result, bail};
use reqwest::{Client, Method};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

/// A host that runs, or has run.
pub struct Host {
    child: Child,
    base: String,
    client: Client,
    log: PathBuf,
}

/// The variable that makes this program the host itself, so that a test needs no other binary.
const AS_HOST: &str = "CHASSIS_FAULTS_AS_HOST";
/// The host's binary, where another than this one is meant.
const BINARY: &str = "CHASSIS_HOST";
/// How long a host may take to be ready: it takes up the runs of the one before it.
const READY: Duration = Duration::from_secs(60);
/// The longest that one request may take.
const REQUEST: Duration = Duration::from_secs(30);

/// What a program does that starts itself as a host: it is one where it was asked to, and otherwise does its own work.
pub fn main(work: impl FnOnce() -> Result<ExitCode>) -> ExitCode {
    if std::env::var_os(AS_HOST).is_some() {
        return chassis::cli::main();
    }
    work().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

impl Host {
    /// Starts one with this configuration; its log goes to a file beside it. Returns when it is ready.
    pub async fn start(config: &Path, log: &Path) -> Result<Self> {
        Self::start_with(config, log, &[]).await
    }

    /// The same with variables of its environment, such as the address to listen on.
    pub async fn start_with(config: &Path, log: &Path, variables: &[(&str, String)]) -> Result<Self> {
        let mut command = match std::env::var_os(BINARY) {
            Some(binary) => Command::new(binary),
            None => {
                let mut command = Command::new(binary()?);
                command.env(AS_HOST, "1");
                command
            }
        };
        command.arg("--config").arg(config).arg("run").env("CHASSIS__EDGE__LISTEN", "127.0.0.1:0");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start the host")?;
        let lines = child.stderr.take().context("the host has no log")?;
        let (ready, address) = oneshot::channel();
        tokio::spawn(keep(lines, log.to_owned(), ready));
        let address = match tokio::time::timeout(READY, address).await {
            Ok(Ok(address)) => address,
            _ => {
                let _ = child.start_kill();
                bail!("the host was not ready; its log ends:\n{}", tail(log));
            }
        };
        let client = Client::builder().timeout(REQUEST).build()?;
        Ok(Self { child, base: format!("http://{address}"), client, log: log.to_owned() })
    }

    /// Ends it as the kernel does, in the middle of whatever it does.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill the host")
    }

    /// The same, without waiting until it is gone; the kernel gives its children's remains to whoever waits.
    pub fn kill_now(&self) -> Result<()> {
        kill_process(self.pid()?, Signal::KILL).context("cannot kill the host")
    }

    /// Asks it to end in good order, and waits for that.
    pub async fn stop(mut self) -> Result<()> {
        if let Ok(pid) = self.pid() {
            kill_process(pid, Signal::TERM)?;
        }
        let ended = tokio::time::timeout(READY, self.child.wait()).await;
        ended.map_err(|_| anyhow::anyhow!("the host did not end; its log ends:\n{}", tail(&self.log)))??;
        Ok(())
    }

    fn pid(&self) -> Result<Pid> {
        self.child.id().and_then(|pid| Pid::from_raw(pid as i32)).context("the host is gone already")
    }

    /// Waits until it has ended by itself: false if it has not by then.
    pub async fn ended_within(&mut self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.child.wait()).await.is_ok()
    }

    /// Its address: `http://…` without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// One request.
    ///
    /// # Errors
    /// No answer: the host is gone, or too slow.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        self.ask_with(method, path, body, None).await
    }

    /// The same with an idempotency key.
    pub async fn ask_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<(u16, Value)> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// Runs a flow; a refusal is an answer too.
    pub async fn flow(&self, name: &str, input: &Value, key: Option<&str>) -> Result<(u16, Value)> {
        self.ask_with(Method::POST, &format!("/v1/flows/{name}"), Some(input), key).await
    }

    /// Puts a fault in force.
    pub async fn fault(&self, fault: &Value) -> Result<()> {
        let (status, answer) = self.ask(Method::POST, "/v1/faults", Some(fault)).await?;
        if status == 200 { Ok(()) } else { bail!("the fault {fault} is refused: {answer}") }
    }

    /// Lifts every fault.
    pub async fn clear(&self) -> Result<()> {
        let (status, answer) = self.ask(Method::DELETE, "/v1/faults", None).await?;
        if status == 200 { Ok(()) } else { bail!("the faults stay: {answer}") }
    }

    /// Waits until a fault has hit so many calls.
    pub async fn hit(&self, name: &str, times: u64) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < REQUEST {
            let (_, answer) = self.ask(Method::GET, "/v1/faults", None).await?;
            let faults = answer["faults"].as_array().cloned().unwrap_or_default();
            let hits = faults.iter().find(|fault| fault["name"] == name).map(|fault| fault["hits"].as_u64());
            if hits.flatten().is_some_and(|hits| hits >= times) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!("the fault `{name}` was never met; the host's log ends:\n{}", tail(&self.log))
    }

    /// How many files it has open.
    pub fn open_files(&self) -> Result<u64> {
        let folder = format!("/proc/{}/fd", self.pid()?.as_raw_nonzero());
        Ok(std::fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?.count() as u64)
    }

    /// Lets it have no more than so many files open.
    pub fn limit_files(&self, most: u64) -> Result<()> {
        let old = getrlimit(Resource::Nofile);
        let new = Rlimit { current: Some(most), maximum: old.maximum };
        prlimit(Some(self.pid()?), Resource::Nofile, new)
            .map(drop)
            .context("cannot set the host's limit of files")
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }
}

/// This program; of a test, the program beside it.
fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program does not know its own path")?;
    let name = format!("chassis-faults{}", std::env::consts::EXE_SUFFIX);
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join(&name)).find(|path| path.exists());
    Ok(beside.unwrap_or(own))
}

/// Writes the log into its file, and tells the address as soon as it is there.
async fn keep(lines: tokio::process::ChildStderr, log: PathBuf, ready: oneshot::Sender<String>) {
    let mut ready = Some(ready);
    let mut lines = BufReader::new(lines).lines();
    let file = tokio::fs::File::options().create(true).append(true).open(&log).await;
    let Ok(mut file) = file else { return };
    while let Ok(Some(line)) = lines.next_line().await {
        let _ = file.write_all(line.as_bytes()).await;
        let _ = file.write_all(b"\n").await;
        let document: Value = serde_json::from_str(&line).unwrap_or_default();
        if document["message"] == "ready"
            && let Some(ready) = ready.take()
        {
            let _ = ready.send(document["address"].as_str().unwrap_or_default().to_owned());
        }
    }
    let _ = file.flush().await;
}

/// The last lines of a file.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
