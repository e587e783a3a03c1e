//! Copies of loaded libraries, and how many there may be.

#![allow(clippy::unwrap_used, reason = "a test says with it what must hold")]

mod support;

use chassis_loader::{MAX_LOADS, RefusalKind, inspect, load};
use std::fs::{self, File};
use support::{compile, counter_source, options};
use tempfile::TempDir;

/// One test, as the limit is the process's.
#[test]
fn copies_are_kept_apart_and_counted() {
    let dir = TempDir::new().unwrap();
    let library = dir.path().join("libcounter.so");
    if compile(&counter_source(), &library, &[]).is_none() {
        return;
    }
    let generations = dir.path().join("generations");
    let leave = |name: &str| {
        fs::create_dir_all(generations.join(name)).unwrap();
        fs::write(generations.join(name).join("libold.so"), "").unwrap();
        File::create(generations.join(name).join("lock")).unwrap()
    };
    let (dead, living) = (leave("1-1"), leave("1-2"));
    drop(dead);
    living.lock().unwrap();
    fs::create_dir(generations.join("not-ours")).unwrap();

    let inspected = inspect(&library).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Another user could put a library of his own there.
        fs::set_permissions(&generations, fs::Permissions::from_mode(0o777)).unwrap();
        let refusal = load(&inspected, &options(dir.path())).unwrap_err();
        assert!(refusal.to_string().contains("other users may write to it"), "{refusal}");
        fs::set_permissions(&generations, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let options = options(dir.path());
    let first = load(&inspected, &options).unwrap();
    assert!(!generations.join("1-1").exists(), "a dead process's folder stays");
    assert!(generations.join("1-2").join("libold.so").exists(), "a living process's folder is gone");
    assert!(generations.join("not-ours").exists());
    assert_eq!(fs::read(first.loaded_path()).unwrap(), fs::read(&library).unwrap());

    // A library that replaces the first one at its path is another library, also to the system's loader.
    compile(&counter_source(), &library, &["-DCOUNTERS=8"]).unwrap();
    let second = load(&inspect(&library).unwrap(), &options).unwrap();
    assert_ne!(first.build_id(), second.build_id());
    assert_ne!(first.loaded_path(), second.loaded_path());

    for expected in second.generation() + 1..=MAX_LOADS {
        assert_eq!(load(&inspect(&library).unwrap(), &options).unwrap().generation(), expected);
    }
    let refusal = load(&inspect(&library).unwrap(), &options).unwrap_err();
    assert_eq!(refusal.kind(), RefusalKind::TooManyLoads);
    println!("{refusal}");
}
