//! What Compose puts into the file: the environment, then `.env`, then the file's own defaults.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};

use super::services::Door;

/// The variables that are set.
#[derive(Debug, Default)]
pub struct Settings {
    file: BTreeMap<String, String>,
}

impl Settings {
    /// Reads `.env` of the checkout; there need be none.
    pub fn read(root: &Path) -> Result<Settings> {
        let file = root.join(".env");
        match std::fs::read_to_string(&file) {
            Ok(text) => Ok(Settings { file: variables(&text) }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Settings::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        // As Compose has it: what is empty is not set.
        std::env::var(name).ok().or_else(|| self.file.get(name).cloned()).filter(|value| !value.is_empty())
    }

    /// The port of this machine.
    pub fn port(&self, door: &Door) -> Result<u16> {
        let Some(text) = self.get(door.variable) else { return Ok(door.usual) };
        text.parse().with_context(|| {
            format!("{} is `{text}`: expected a port, such as {}", door.variable, door.usual)
        })
    }

    /// Where ports listen.
    pub fn bind(&self) -> Result<IpAddr> {
        let text = self.get("BIND_ADDRESS").unwrap_or_else(|| "127.0.0.1".to_owned());
        text.parse().with_context(|| {
            format!("BIND_ADDRESS is `{text}`: expected an address of this machine, such as 127.0.0.1")
        })
    }

    /// Where a client of this machine finds a port.
    pub fn host(&self) -> Result<IpAddr> {
        let bind = self.bind()?;
        Ok(if bind.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { bind })
    }
}

/// The variables of a file such as `.env`.
pub fn variables(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.strip_prefix("export ").unwrap_or(line).split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), plain(value.trim()).to_owned())).collect()
}

/// A value without its quotes, or without the comment behind it.
fn plain(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some((inner, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inner;
        }
    }
    value.split_once(" #").map_or(value, |(before, _)| before.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::services::SERVICES;

    #[test]
    fn a_file_is_read_as_compose_reads_it() {
        let read = variables("# no\nA=1\n export B = \"x # y\" # z\nC='q'\nD=5432 # usual\nE=\nnothing\n");
        let pairs: Vec<(&str, &str)> =
            read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("A", "1"), ("B", "x # y"), ("C", "q"), ("D", "5432"), ("E", "")]);
    }

    #[test]
    fn a_port_is_the_files_or_the_usual_one_and_nonsense_is_named() {
        let settings = |text: &str| Settings { file: variables(text) };
        let door = &SERVICES[0].doors[0];
        assert_eq!(settings("").port(door).unwrap(), 3000);
        assert_eq!(settings("GRAFANA_PORT=").port(door).unwrap(), 3000);
        assert_eq!(settings("GRAFANA_PORT=13000").port(door).unwrap(), 13000);
        let error = settings("GRAFANA_PORT=many").port(door).unwrap_err().to_string();
        assert!(error.contains("GRAFANA_PORT is `many`"), "{error}");
        assert_eq!(settings("BIND_ADDRESS=0.0.0.0").host().unwrap().to_string(), "127.0.0.1");
        assert!(settings("BIND_ADDRESS=here").bind().unwrap_err().to_string().contains("BIND_ADDRESS"));
    }
}
