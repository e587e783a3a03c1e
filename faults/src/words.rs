//! What a site's files say: configuration and flows.

use crate::journal;
use crate::stores::Urls;
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Role, contract of the embedded plugin, and the real plugin.
const ROLES: [(&str, &str, &str); 5] = [
    ("users", "relational", "postgres"),
    ("preferences", "documents", "mongodb"),
    ("sessions", "cache", "redis"),
    ("messages", "queue", "rabbitmq"),
    ("search", "search", "elasticsearch"),
];

/// The configuration of a host. `policy` is that of each instance.
pub fn config(
    folder: &Path,
    urls: Option<&Urls>,
    journal: &journal::Place,
    policy: &str,
    extra: &str,
) -> String {
    let mut text = format!(
        "flows_dir = {:?}\n\n[telemetry]\nlog_format = \"json\"\nlog = \"info\"\n\n[fault_injection]\nenabled = true\nseed = 1\n\n\
         [journal]\nurl = {:?}\n\n",
        folder.join("flows"),
        journal.url(),
    );
    for (role, contract, plugin) in ROLES {
        let (plugin, contract, settings) = match urls {
            None => {
                let file = folder.join(format!("{role}.db"));
                ("embedded", format!("contract = \"{contract}\"\n"), format!("path = {file:?}"))
            }
            Some(urls) => {
                let (url, more) = match plugin {
                    "postgres" => (&urls.postgres, ", schema = \"public\""),
                    "mongodb" => (&urls.mongodb, ""),
                    "redis" => (&urls.redis, ""),
                    "rabbitmq" => (&urls.rabbitmq, ""),
                    _ => (&urls.elasticsearch, ""),
                };
                (plugin, String::new(), format!("url = {url:?}{more}"))
            }
        };
        let _ = write!(
            text,
            "[instances.{role}]\nplugin = \"{plugin}\"\n{contract}config = {{ {settings} }}\n\
             [instances.{role}.policy]\n{policy}\n",
        );
    }
    text.push_str(extra);
    text
}

/// The shipped flows that create-user needs; without their undo, where the check is to fail.
pub fn write_flows(folder: &Path, without_undo: bool) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for name in ["create-user", "setup"] {
        let from = shipped().join(format!("{name}.toml"));
        let text =
            std::fs::read_to_string(&from).with_context(|| format!("cannot read {}", from.display()))?;
        let text = if without_undo && name == "create-user" { strip(&text)? } else { text };
        std::fs::write(folder.join(format!("{name}.toml")), text)?;
    }
    Ok(())
}

/// The folder of the shipped flows.
pub fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../flows")
}

/// A flow whose steps have nothing to take back.
pub fn strip(text: &str) -> Result<String> {
    let mut document: toml::Table = text.parse()?;
    let steps =
        document.get_mut("steps").and_then(toml::Value::as_table_mut).context("the flow has no steps")?;
    for (_, step) in steps.iter_mut() {
        let step = step.as_table_mut().context("a step is no table")?;
        ensure!(step.contains_key("undo"), "a step has no undo that could be taken out");
        step.insert("undo".to_owned(), "none".into());
    }
    Ok(document.to_string())
}
