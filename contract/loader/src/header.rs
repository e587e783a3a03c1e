//! The manifest section: its header, then its JSON.

use crate::refusal::{Refusal, RefusalKind};
use chassis_abi::manifest::{MAGIC, Manifest, ManifestHeader, SECTION_ELF, layout_hash_of_minor};
use chassis_abi::{ABI_MAJOR, ABI_MINOR};
use std::mem::offset_of;
use std::path::Path;

const REBUILD: &str = "build the plugin again with the SDK of this host";

/// Reads the section.
pub(crate) fn parse(path: &Path, section: &[u8]) -> Result<(Manifest, (u16, u16)), Refusal> {
    if !section.starts_with(&MAGIC) || section.len() < size_of::<ManifestHeader>() {
        return Err(no_manifest(path, "a section without its header"));
    }
    let number = |at, len| section[at..at + len].iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let major = number(offset_of!(ManifestHeader, abi_major), 2) as u16;
    let minor = number(offset_of!(ManifestHeader, abi_minor), 2) as u16;
    let size = number(offset_of!(ManifestHeader, header_size), 4);
    let hash = number(offset_of!(ManifestHeader, layout_hash), 8);
    let len = number(offset_of!(ManifestHeader, json_len), 8);

    let (found, ours) = (format!("boundary {major}.{minor}"), format!("boundary {ABI_MAJOR}.{ABI_MINOR}"));
    if major != ABI_MAJOR {
        let expected = format!("{ours}, or an earlier minor of it");
        return Err(Refusal::new(RefusalKind::WrongMajor, path, found, expected, REBUILD));
    }
    if minor > ABI_MINOR {
        let advice = "use a later host, or build the plugin again with the SDK of this one";
        return Err(Refusal::new(RefusalKind::NewerMinor, path, found, format!("at most {ours}"), advice));
    }
    let expected = layout_hash_of_minor(minor).unwrap_or_default();
    if hash != expected {
        let (found, expected) = (format!("layout {hash:016x}"), format!("layout {expected:016x} of {found}"));
        return Err(Refusal::new(RefusalKind::LayoutMismatch, path, found, expected, REBUILD));
    }
    let json = usize::try_from(size).ok().zip(usize::try_from(size.saturating_add(len)).ok());
    let Some(json) = json.and_then(|(from, to)| section.get(from..to)) else {
        let found = format!("{len} bytes of JSON announced in a section of {}", section.len());
        return Err(bad_manifest(path, found, "a manifest that fits into its section"));
    };
    let manifest = serde_json::from_slice(json)
        .map_err(|error| bad_manifest(path, format!("`{error}`"), "a manifest that can be read"))?;
    Ok((manifest, (major, minor)))
}

pub(crate) fn no_manifest(path: &Path, found: &str) -> Refusal {
    let expected = format!("a manifest in the section `{SECTION_ELF}`");
    let advice = "embed the manifest with `chassis_guest::export!`, and do not strip the section";
    Refusal::new(RefusalKind::NoManifest, path, found, expected, advice)
}

pub(crate) fn bad_manifest(path: &Path, found: impl Into<String>, expected: impl Into<String>) -> Refusal {
    let advice = "generate the manifest again, and rebuild the plugin";
    Refusal::new(RefusalKind::BadManifest, path, found, expected, advice)
}
