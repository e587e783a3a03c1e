//! Whether the machine is large enough: disk and memory, before anything is started.

use std::path::Path;

use super::engine::Engine;
use super::services;

/// The host's image, as docker-compose.yml names it.
pub const IMAGE: &str = concat!("chassis:", env!("CARGO_PKG_VERSION"));

const GB: u64 = 1_000_000_000;

/// What is there. `None` is not known.
#[derive(Debug)]
pub struct Machine {
    pub disk: Option<u64>,
    pub memory: Option<u64>,
}

impl Machine {
    /// What the engine can use of this machine.
    pub fn look(engine: &Engine) -> Machine {
        let available = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
        let memory = [available, engine.memory].into_iter().flatten().min();
        // An engine in a virtual machine has its folder there.
        let folder = engine.folder.as_deref().filter(|folder| folder.exists());
        Machine { disk: folder.and_then(free), memory }
    }

    /// Everything that it lacks.
    pub fn lacks(&self, minimal: bool, built: bool) -> Vec<String> {
        let mut lacks = Vec::new();
        let disk = needed_disk(minimal, built);
        if let Some(free) = self.disk.filter(|free| *free < disk) {
            let what =
                if built { "for images and data" } else { "for images, data, and to build the host's image" };
            lacks.push(format!(
                "disk: {} free, {} needed {what}; `docker system df` says what takes it",
                shown(free),
                shown(disk)
            ));
        }
        let memory = needed_memory(minimal);
        if let Some(free) = self.memory.filter(|free| *free < memory) {
            let smaller = if minimal { "" } else { "; `--minimal` needs less" };
            let limits = "needed if every container comes to its limit";
            lacks.push(format!("memory: {} available, {} {limits}{smaller}", shown(free), shown(memory)));
        }
        lacks
    }
}

/// What the containers may use together.
pub fn needed_memory(minimal: bool) -> u64 {
    services::chosen(minimal).map(|service| service.memory_mb << 20).sum()
}

/// By estimate: the images, a week of metrics, and where the host is not built yet the compiler's image and its output.
fn needed_disk(minimal: bool, built: bool) -> u64 {
    let images = if minimal { 3 * GB } else { 7 * GB };
    if built { images } else { images + 8 * GB }
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

fn free(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail * found.f_frsize)
}

fn shown(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / GB as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lacks_is_told_with_numbers() {
        let small = Machine { disk: Some(2 * GB), memory: Some(GB) };
        let lacks = small.lacks(false, false);
        assert!(lacks[0].starts_with("disk: 2.0 GB free, 15.0 GB needed"), "{lacks:?}");
        assert!(
            lacks[1].starts_with("memory: 1.0 GB available, 4.0 GB needed") && lacks[1].contains("--minimal"),
            "{lacks:?}"
        );
        let lacks = Machine { disk: Some(4 * GB), memory: Some(2 * GB) }.lacks(true, true);
        assert!(lacks.is_empty(), "{lacks:?}");
        assert!(
            Machine { disk: None, memory: None }.lacks(false, false).is_empty(),
            "what is not known is not held against it"
        );
    }

    #[test]
    fn the_machine_is_read() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:       2048 kB\n"), Some(2 << 20));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
        assert!(free(Path::new("/")).unwrap() > 0);
        assert_eq!(free(Path::new("/nowhere at all")), None);
    }
}
