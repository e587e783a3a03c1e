//! The real binary as a child process, with the example plugin in a folder of its own.
#![allow(dead_code, clippy::unwrap_used)]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A folder with plugins, flows and a configuration.
pub struct House {
    dir: tempfile::TempDir,
}

/// A host that runs.
pub struct Running {
    child: Child,
    pub address: String,
    log: Option<JoinHandle<String>>,
}

const FLOW: &str = "description = \"Says it back.\"\n\n[input]\ntext = \"string\"\n\n[steps.said]\n\
    call = \"voice.echo\"\ninput = { value = \"${input.text}\" }\nundo = \"none\"\n\n[output]\nsaid = \"${steps.said.output.value}\"\n";

impl House {
    /// With this configuration, which need not name folders or an address.
    pub fn new(config: &str) -> Self {
        let house = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(house.path("plugins")).unwrap();
        std::fs::create_dir(house.path("flows")).unwrap();
        std::fs::copy(example(), house.path("plugins").join(example().file_name().unwrap())).unwrap();
        house.write("flows/say.toml", FLOW);
        house.write("t.toml", config);
        house
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, contents: &str) {
        std::fs::write(self.path(name), contents).unwrap();
    }

    /// The command, before its arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chassis"));
        for (name, _) in
            std::env::vars().filter(|(name, _)| name.starts_with("CHASSIS") || name.starts_with("OTEL"))
        {
            command.env_remove(name);
        }
        command.current_dir(self.dir.path()).env("CHASSIS_PLUGINS_DIR", self.path("plugins"));
        command.env("CHASSIS__EDGE__LISTEN", "127.0.0.1:0").args(["--config", "t.toml"]).stdin(Stdio::null());
        command
    }

    /// Runs the command to its end.
    pub fn chassis(&self, args: &[&str]) -> Done {
        Done::of(self.command().args(args).output().unwrap())
    }

    /// `chassis run`, when it is ready.
    pub fn run(&self) -> Running {
        self.run_with(&[])
    }

    /// The same with variables.
    pub fn run_with(&self, variables: &[(&str, &str)]) -> Running {
        let mut command = self.command();
        command.envs(variables.iter().copied()).arg("run").stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, ready) = mpsc::channel();
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            for line in lines.map_while(Result::ok) {
                let document: Value = serde_json::from_str(&line).unwrap_or_default();
                if document["message"] == "ready" {
                    let _ = sender.send(document["address"].as_str().unwrap_or_default().to_owned());
                }
                log.push_str(&line);
                log.push('\n');
            }
            log
        });
        match ready.recv_timeout(Duration::from_secs(60)) {
            Ok(address) => Running { child, address, log: Some(log) },
            Err(_) => {
                let _ = child.kill();
                panic!("the host is not ready:\n{}", log.join().unwrap());
            }
        }
    }
}

impl Running {
    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal: `KILL`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Its end, with everything that it logged.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > Duration::from_secs(30) {
                let _ = self.child.kill();
                panic!("the host does not end");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        (status, self.log.take().unwrap().join().unwrap())
    }

    /// One request on a connection of its own: status and body.
    pub fn request(&self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        request(&self.address, method, path, body)
    }

    /// The same with headers.
    pub fn request_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<(u16, String)> {
        send(&self.address, method, path, headers, body)
    }
}

/// A test that ends leaves no host behind.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request on a connection of its own: status and body.
pub fn request(address: &str, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    send(address, method, path, &[], body)
}

fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{kind}{headers}content-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok((status, body.to_owned()))
}

/// How a command ended.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What it printed, as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The example's library, which cargo builds beside the tests, as it is a dependency of theirs.
fn example() -> PathBuf {
    let name =
        format!("{}chassis_example_echo{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let test = std::env::current_exe().unwrap();
    let found = test.ancestors().skip(1).take(2).map(|dir: &Path| dir.join(&name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is not built"))
}
