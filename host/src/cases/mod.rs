//! Cases of flows, written beside them: `flows/NAME.test.toml` says what is done to the flow `NAME`, and what must come of it.
//!
//! A file is read (`read`, into what `model` describes), held against plugins and flows (`check`), and each case is played
//! (`play`) on a host of its own (`host`): the embedded profile, in a folder that goes with it. What did not come as it was
//! expected (`compare`) is told with the place where it stands in the file (`report`).

mod check;
mod compare;
mod host;
mod model;
mod play;
mod read;
mod report;
mod visible;

pub use check::check;
pub use host::Hosts;
pub use model::CaseFile;
pub use play::play;
pub use report::{Miss, Played, PlayedFile};

use std::path::{Path, PathBuf};

/// What the name of a case file ends with. No flow's file does, see [`crate::flow::set::is_flow`].
pub const ENDING: &str = ".test.toml";

/// The profile that cases are played on.
pub const PROFILE: &str = "embedded";

/// The flow that runs before each case, if the folder has one and the file says nothing else.
pub const SETUP: &str = "setup";

/// The case files of a folder, by name.
///
/// # Errors
/// What the system says.
pub fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?;
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| flow_of(file).is_some_and(|flow| !flow.starts_with('.')));
    files.sort();
    Ok(files)
}

/// The case file beside a flow's.
pub fn beside(flow: &Path) -> PathBuf {
    let name = flow.file_stem().unwrap_or_default().to_string_lossy();
    flow.with_file_name(format!("{name}{ENDING}"))
}

/// The name of the flow that a case file is about; none if it is no case file.
pub fn flow_of(file: &Path) -> Option<&str> {
    file.file_name()?.to_str()?.strip_suffix(ENDING).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::set::is_flow;

    #[test]
    fn no_file_is_both_a_flow_and_cases() {
        for (file, cases) in [
            ("flows/refund.toml", None),
            ("flows/refund.test.toml", Some("refund")),
            ("flows/test.toml", None),
            ("flows/.test.toml", None),
            ("flows/a.test.test.toml", Some("a.test")),
            ("flows/README.md", None),
        ] {
            let path = Path::new(file);
            assert_eq!(flow_of(path), cases, "{file}");
            assert!(!(is_flow(path) && cases.is_some()), "{file}");
        }
        assert_eq!(beside(Path::new("flows/refund.toml")), Path::new("flows/refund.test.toml"));
    }
}
