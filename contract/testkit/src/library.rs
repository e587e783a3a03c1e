//! Where the built library of a plugin is.

use std::path::PathBuf;

/// Finds the library of a package: beside the running test (cargo builds it there), or in the folder above.
pub(crate) fn find(package: &str) -> Result<PathBuf, String> {
    let lib = package.replace("chassis-plugin-", "chassis_").replace('-', "_");
    let name = format!("{}{lib}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let exe =
        std::env::current_exe().map_err(|error| format!("where this test runs from is unknown: {error}"))?;
    let tried: Vec<PathBuf> = exe.ancestors().skip(1).take(2).map(|dir| dir.join(&name)).collect();
    tried.iter().find(|path| path.exists()).cloned().ok_or_else(|| {
        format!("{name} is not built: looked at {tried:?}; has its Cargo.toml [lib] name = \"{lib}\" and crate-type = [\"cdylib\", \"rlib\"]?")
    })
}
