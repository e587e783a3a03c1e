//! Prometheus, promtool and Alertmanager: those on PATH, else out of Debian's packages, unpacked into the cache. Not
//! installed: an installed one would start services on the usual ports.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::install::{Skipped, cached};
use crate::place::on_path;
use crate::run::logged;

/// Prometheus' program.
pub fn prometheus() -> Result<PathBuf> {
    program(&["prometheus"])
}

/// The program that checks and tests Prometheus' files.
pub fn promtool() -> Result<PathBuf> {
    program(&["promtool"])
}

/// Alertmanager's program, which Debian calls by another name. Debian's looks for its templates at one place only.
pub fn alertmanager() -> Result<PathBuf> {
    let program = program(&["alertmanager", "prometheus-alertmanager"])?;
    if let Some(folder) = program.parent() {
        templates(&folder.join("../..").join(TEMPLATES), &Path::new("/").join(TEMPLATES))?;
    }
    Ok(program)
}

/// Puts the templates that came with an unpacked program where it looks for them; those that are there stay.
fn templates(unpacked: &Path, wanted: &Path) -> Result<()> {
    for name in ["default.tmpl", "email.tmpl"] {
        let (from, to) = (unpacked.join(name), wanted.join(name));
        if !from.is_file() || to.exists() {
            continue;
        }
        let put = std::fs::create_dir_all(wanted).and_then(|()| std::fs::copy(&from, &to));
        put.map_err(|error| {
            let (from, to) = (from.display(), to.display());
            Skipped(format!(
                "Debian's Alertmanager reads its templates from {to}, which is not there and cannot be written \
                 ({error}): run `sudo install -D {from} {to}`, or put alertmanager on PATH"
            ))
        })?;
    }
    Ok(())
}

const TEMPLATES: &str = "usr/share/prometheus/alertmanager";

fn program(names: &[&str]) -> Result<PathBuf> {
    if let Some(found) = names.iter().find_map(|name| on_path(name)) {
        return Ok(found);
    }
    let folder = cached(&format!("prometheus-{}", release()), make)?.join("usr/bin");
    let found = names.iter().map(|name| folder.join(name)).find(|file| file.is_file());
    found.with_context(|| format!("none of {} is in {}", names.join(", "), folder.display()))
}

/// The system's release, which decides the packages' version.
fn release() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    release_in(&text).unwrap_or("debian").to_owned()
}

fn release_in(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).map(|name| name.trim_matches('"'))
}

fn make(folder: &Path) -> Result<()> {
    fetch(folder).map_err(|error| Skipped(format!("{error:#}")).into())
}

fn fetch(folder: &Path) -> Result<()> {
    let apt = on_path("apt-get").zip(on_path("dpkg-deb"));
    let (apt, unpack) = apt.context(
        "neither Prometheus nor apt-get is on PATH; put prometheus, promtool and alertmanager there",
    )?;
    let log = folder.join("make.log");
    let download = || {
        let mut command = Command::new(&apt);
        command.args(["download", "prometheus", "prometheus-alertmanager"]).current_dir(folder);
        command
    };
    let what = "fetching the packages prometheus and prometheus-alertmanager";
    if logged("prometheus", what, &mut download(), &log).is_err() {
        // A machine without package lists knows no package; only root may get them.
        logged("apt-get", "updating the package lists", Command::new(&apt).arg("update"), &log)?;
        logged("prometheus", what, &mut download(), &log)?;
    }
    let mut packages = 0;
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|ending| ending == "deb") {
            logged("prometheus", "unpacking", Command::new(&unpack).arg("-x").arg(&file).arg(folder), &log)?;
            std::fs::remove_file(&file)?;
            packages += 1;
        }
    }
    ensure!(packages == 2, "apt-get said it got two packages, and {packages} are there");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_put_where_the_program_looks_for_them_and_replace_nothing() {
        let folder = std::env::temp_dir().join(format!("chassis-templates-{}", std::process::id()));
        let (unpacked, wanted) = (folder.join("cache"), folder.join("a/b"));
        templates(&unpacked, &wanted).unwrap();
        assert!(!wanted.exists(), "a program on PATH brought none");
        std::fs::create_dir_all(&unpacked).unwrap();
        std::fs::write(unpacked.join("default.tmpl"), "new").unwrap();
        std::fs::write(unpacked.join("email.tmpl"), "new").unwrap();
        templates(&unpacked, &wanted).unwrap();
        let read = |name: &str| std::fs::read_to_string(wanted.join(name)).unwrap();
        assert_eq!((read("default.tmpl"), read("email.tmpl")), ("new".to_owned(), "new".to_owned()));
        std::fs::write(wanted.join("email.tmpl"), "own").unwrap();
        templates(&unpacked, &wanted).unwrap();
        assert_eq!(read("email.tmpl"), "own");
        let blocked = templates(&unpacked, &unpacked.join("email.tmpl/below")).unwrap_err().to_string();
        assert!(blocked.contains("sudo install -D"), "{blocked}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_release_is_read() {
        assert_eq!(release_in("ID=debian\nVERSION_CODENAME=bookworm\n"), Some("bookworm"));
        assert_eq!(release_in("VERSION_CODENAME=\"jammy\"\n"), Some("jammy"));
        assert_eq!(release_in("ID=arch\n"), None);
    }
}
