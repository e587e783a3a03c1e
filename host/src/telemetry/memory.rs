//! The most memory there is for this process, as Linux tells it.

use std::path::Path;

/// Where control groups are.
const GROUPS: &str = "/sys/fs/cgroup";

/// The smallest limit of the process's control group and those above it; without one, the machine's memory. None where nothing says.
pub fn limit() -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| total(&text));
    smallest(&groups, machine, &|path| read(&Path::new(GROUPS).join(path)))
}

fn smallest(groups: &str, machine: Option<u64>, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let mut least = machine;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        // Version 2 has one tree for all, version 1 one for memory. In a container the own group is the root of what is seen.
        let (tree, file) = match controllers {
            "" => ("", "memory.max"),
            of if of.split(',').any(|of| of == "memory") => ("memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        for above in Path::new(path.trim_start_matches('/')).ancestors() {
            // No number: `max`, which is no limit.
            let limit =
                read(&Path::new(tree).join(above).join(file)).and_then(|text| text.trim().parse().ok());
            least = limit.into_iter().chain(least).min();
        }
    }
    least
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_counts() {
        let machine = total("MemTotal:       16 kB\nMemFree: 3 kB\n");
        assert_eq!(machine, Some(16_384));
        let limits = |path: &Path| match path.to_str().unwrap() {
            "a/b/memory.max" => Some("9000\n".to_owned()),
            "a/memory.max" => Some("7000\n".to_owned()),
            "memory.max" => Some("max\n".to_owned()),
            "memory/c/memory.limit_in_bytes" => Some("5000".to_owned()),
            // What version 1 says where there is no limit.
            "memory/memory.limit_in_bytes" => Some("9223372036854771712".to_owned()),
            _ => None,
        };
        assert_eq!(smallest("0::/a/b\n", machine, &limits), Some(7_000));
        assert_eq!(smallest("5:cpu:/x\n4:memory,y:/c\n", machine, &limits), Some(5_000));
        assert_eq!(smallest("0::/\n", machine, &limits), machine);
        assert_eq!(smallest("nonsense", None, &limits), None);
    }
}
