//! One good library, spoilt in every way that there is: each is refused with its own reason, and none of its code runs.

#![allow(clippy::unwrap_used, reason = "a test says with it what must hold")]

mod support;

use chassis_loader::{Refusal, RefusalKind, inspect, load};
use object::{Object, ObjectSection};
use std::path::{Path, PathBuf};
use support::{compile, counter_source, options};
use tempfile::TempDir;

/// A library whose constructor, run by the system as soon as it is opened, makes a file.
struct Sample {
    dir: TempDir,
    good: PathBuf,
    bytes: Vec<u8>,
    witness: PathBuf,
}

impl Sample {
    fn build() -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let (good, source, witness) =
            (dir.path().join("good.so"), dir.path().join("sample.c"), dir.path().join("witness"));
        let code = format!(
            "#include {:?}\n__attribute__((constructor)) static void run(void) {{ fclose(fopen({witness:?}, \"w\")); }}\n",
            counter_source()
        );
        std::fs::write(&source, code).unwrap();
        compile(&source, &good, &[])?;
        let bytes = std::fs::read(&good).unwrap();
        Some(Self { dir, good, bytes, witness })
    }

    /// Where a section lies in the file.
    fn section(&self, name: &str) -> usize {
        let file = object::File::parse(&*self.bytes).unwrap();
        file.section_by_name(name).unwrap().file_range().unwrap().0 as usize
    }

    fn refused(&self, what: &str, expected: RefusalKind, bytes: &[u8]) -> Refusal {
        let path = self.dir.path().join(format!("{}.so", what.replace(' ', "-")));
        std::fs::write(&path, bytes).unwrap();
        let refusal = try_load(&path, self.dir.path()).expect_err(what);
        assert_eq!(refusal.kind(), expected, "{what}: {refusal}");
        assert_eq!(refusal.path(), path);
        let shown = refusal.to_string();
        for part in [path.to_str().unwrap(), refusal.found(), refusal.expected(), refusal.advice()] {
            assert!(!part.is_empty() && shown.contains(part), "{what}: {shown}");
        }
        assert!(!self.witness.exists(), "{what}: code of the library ran");
        println!("{shown}");
        refusal
    }

    fn patched(&self, what: &str, expected: RefusalKind, at: usize, with: &[u8]) -> Refusal {
        let mut bytes = self.bytes.clone();
        assert_ne!(&bytes[at..at + with.len()], with, "{what} changes nothing");
        bytes[at..at + with.len()].copy_from_slice(with);
        self.refused(what, expected, &bytes)
    }

    /// Replaces text of the file by text that is not longer.
    fn reworded(&self, what: &str, expected: RefusalKind, from: &str, to: &str) -> Refusal {
        let at = find(&self.bytes, from.as_bytes(), self.section(".chassis"));
        self.patched(what, expected, at, format!("{to:<0$}", from.len()).as_bytes())
    }
}

fn find(bytes: &[u8], what: &[u8], from: usize) -> usize {
    from + bytes[from..].windows(what.len()).position(|window| window == what).unwrap()
}

fn try_load(path: &Path, dir: &Path) -> Result<(), Refusal> {
    load(&inspect(path)?, &options(dir)).map(drop)
}

#[test]
#[cfg(target_os = "linux")]
fn a_refused_library_runs_nothing() {
    use RefusalKind::*;
    let Some(sample) = Sample::build() else { return };
    let header = sample.section(".chassis");

    let refusal = sample.patched("another major", WrongMajor, header + 8, &[2]);
    assert_eq!(
        (refusal.found(), refusal.expected()),
        ("boundary 2.0", "boundary 1.0, or an earlier minor of it")
    );
    let refusal = sample.patched("a newer minor", NewerMinor, header + 10, &[1]);
    assert_eq!((refusal.found(), refusal.expected()), ("boundary 1.1", "at most boundary 1.0"));
    sample.patched("another layout", LayoutMismatch, header + 16, &[0; 8]);

    let refusal = sample.patched("another machine", WrongArchitecture, 18, &[0xf3, 0]);
    assert!(refusal.found().contains("Riscv64"), "{refusal}");
    sample.patched("an unknown machine", WrongArchitecture, 18, &[0xff, 0x7f]);

    // The header of a Mach-O library: magic, x86_64, its subtype, MH_DYLIB, no commands.
    let words = [0xfeed_facf_u32, 0x0100_0007, 3, 6, 0, 0, 0, 0];
    let mac: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let refusal = sample.refused("of a mac", WrongArchitecture, &mac);
    assert!(refusal.found().contains("MachO for X86_64"), "{refusal}");

    let len = sample.bytes.len();
    for kept in [20, 64, 4096, len / 2, len - 1] {
        sample.refused(&format!("cut to {kept}"), Truncated, &sample.bytes[..kept]);
    }

    sample.refused("empty", NotALibrary, b"");
    sample.refused("a text", NotALibrary, b"#!/bin/sh\necho hello\n");
    sample.patched("an executable", NotALibrary, 16, &[2, 0]);
    sample.patched("an object file", NotALibrary, 16, &[1, 0]);

    let name = find(&sample.bytes, b"chassis_plugin\0", sample.section(".dynstr"));
    sample.patched("another symbol", MissingSymbol, name, b"chassis_plugon");

    sample.patched("another magic", NoManifest, header, b"chassis");
    let name = find(&sample.bytes, b".chassis\0", sample.section(".shstrtab"));
    sample.patched("another section", NoManifest, name, b".chassiz");
}

#[test]
#[cfg(target_os = "linux")]
fn a_refused_manifest_runs_nothing() {
    use RefusalKind::*;
    let Some(sample) = Sample::build() else { return };
    let header = sample.section(".chassis");
    let refusal = sample.reworded(
        "an unknown contract",
        UnknownContract,
        r#""description": "Counters by name, in memory, written in C.", "contracts": []"#,
        r#""description": "", "contracts": ["laundry"]"#,
    );
    assert_eq!((refusal.found(), refusal.expected()), ("the contract `laundry`", "contracts out of cache"));

    sample.patched("no json", BadManifest, header + 32, b"[");
    sample.patched("a long manifest", BadManifest, header + 24, &[0xff; 8]);
    sample.reworded("an unknown field", BadManifest, r#""version""#, r#""versoin""#);
    sample.reworded("no name", BadManifest, r#""name": "counter""#, r#""name": """#);
    let refusal = sample.reworded(
        "an operation twice",
        BadManifest,
        r#""name": "sleep", "summary": "Answers after a while.""#,
        r#""name": "add", "summary": """#,
    );
    assert_eq!(refusal.found(), "the operation `add` twice");
    let refusal = sample.reworded(
        "a missing batch",
        BadManifest,
        r#""summary": "Adds to a counter and answers its value.""#,
        r#""summary": "", "batched_by": "add_many""#,
    );
    assert_eq!(refusal.found(), "`add` batched by `add_many`, which is missing");
    let refusal = sample.reworded(
        "a contract not named",
        BadManifest,
        r#""summary": "Adds to a counter and answers its value.""#,
        r#""summary": "", "contract": "cache""#,
    );
    assert_eq!(refusal.found(), "`cache.add` of the contract `cache`");
    sample.reworded("no health", BadManifest, r#""name": "health""#, r#""name": "wealth""#);
}

/// The same library, left alone: it loads, and the witness shows that the tests above could have failed.
#[test]
fn the_good_one_runs() {
    let Some(sample) = Sample::build() else { return };
    let inspected = inspect(&sample.good).unwrap();
    assert_eq!((inspected.manifest.name.as_str(), inspected.abi), ("counter", (1, 0)));
    assert_eq!(inspected.build_id.len(), 16);
    assert!(!sample.witness.exists(), "inspecting ran it");
    load(&inspected, &options(sample.dir.path())).unwrap();
    assert!(sample.witness.exists());
}

#[test]
fn a_file_that_is_not_there_is_refused() {
    let refusal = inspect(Path::new("/nonexistent/libnone.so")).unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::Io);
}

/// Reading a pipe or a device would last for ever.
#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("libpipe.so");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [pipe.as_path(), Path::new("/dev/zero"), dir.path()] {
        let refusal = inspect(path).unwrap_err();
        assert_eq!(refusal.kind(), RefusalKind::NotALibrary, "{refusal}");
    }
}

/// What is opened is what was inspected.
#[test]
fn a_file_that_is_replaced_after_it_was_inspected_is_noticed() {
    let Some(sample) = Sample::build() else { return };
    let inspected = inspect(&sample.good).unwrap();
    std::fs::write(&sample.good, b"something else").unwrap();
    load(&inspected, &options(sample.dir.path())).unwrap();
    let refusal = load(&inspected, &options(sample.dir.path())).unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::Io);
    assert!(refusal.expected().contains(&inspected.build_id), "{refusal}");
}
