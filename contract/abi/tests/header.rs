//! `chassis.h` says what this crate says. `CHASSIS_BLESS=1 cargo test -p chassis-abi --test header` writes it anew.

#![allow(clippy::unwrap_used, reason = "a test says with it what must hold")]

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

#[test]
fn the_header_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("chassis.h");
    let generated = generate();
    if std::env::var_os("CHASSIS_BLESS").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "{} is stale: run `CHASSIS_BLESS=1 cargo test -p chassis-abi --test header` and commit it",
        path.display()
    );
}

/// A plugin in C may be strict with itself, and may be C++.
#[test]
fn the_header_compiles_without_a_warning() {
    let dir = std::env::temp_dir().join(format!("chassis-header-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("chassis.h"), generate()).unwrap();
    std::fs::write(
        dir.join("main.c"),
        "#include \"chassis.h\"\nint main(void) { return CHASSIS_PENDING; }\n",
    )
    .unwrap();
    for (compiler, language, standard) in [("cc", "c", "-std=c99"), ("c++", "c++", "-std=c++11")] {
        let output = Command::new(compiler)
            .args(["-x", language, standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"])
            .arg(dir.join("main.c"))
            .output();
        match output {
            Err(_) => println!("skipped: there is no compiler `{compiler}`"),
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

fn generate() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    config.header = Some(PREFACE.to_owned());
    config.after_includes = Some(definitions());
    let sources =
        ["lib", "call", "host", "waker", "manifest"].map(|name| root.join(format!("src/{name}.rs")));
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in sources {
        builder = builder.with_src(source);
    }
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    for_c(&String::from_utf8(header).unwrap())
}

const PREFACE: &str = "\
/* The boundary between the Chassis host and its plugins.
 *
 * Generated from contract/abi/src (see contract/abi/tests/header.rs): do not edit. The rules are in lib.rs there, in short:
 * - A plugin exports one symbol, `const ChassisPlugin chassis_plugin`, and carries in the section `.chassis` (on a Mac
 *   `__DATA,__chassis`) a ChassisManifestHeader and right after it the manifest as JSON.
 * - Fields are only ever appended; `struct_size` says how many are there. A slot that is absent or null is not offered.
 * - Who allocates frees. HostBytes and PluginBytes are lent; OwnedBytes carry their release.
 * - The host polls. Poll and drop of one future are never concurrent, but may come from different threads. After READY only
 *   `drop` may be called. Dropping cancels.
 * - A ChassisCall and all it points to live until its future, and the stream that it answered with, are dropped.
 * - Nothing unwinds across: every function of a table returns.
 * - A stream begins without credit, and yields at most as many items as were granted.
 */";

/// What cbindgen does not see: names for structs that refer to each other, values that it would have to compute, and what
/// comes out of a macro.
fn definitions() -> String {
    let mut out = String::new();
    let (segment, section) = chassis_abi::manifest::SECTION_MACHO;
    let magic = std::str::from_utf8(&chassis_abi::manifest::MAGIC).unwrap().trim_end_matches('\0');
    assert_eq!(chassis_abi::host::IO_PENDING, isize::MIN);
    for (comment, name, value) in [
        (
            "The layout of the structs below.",
            "LAYOUT_HASH",
            format!("UINT64_C(0x{:016x})", chassis_abi::LAYOUT_HASH),
        ),
        (
            "The first bytes of the manifest's header: seven letters and a zero.",
            "MAGIC",
            format!("\"{magic}\""),
        ),
        ("Where the manifest lies.", "SECTION_ELF", format!("\"{}\"", chassis_abi::manifest::SECTION_ELF)),
        ("Where the manifest lies on a Mac.", "SECTION_MACHO", format!("\"{segment},{section}\"")),
        (
            "`poll_*` of ChassisIo answers: not yet, the waker will be called.",
            "IO_PENDING",
            "PTRDIFF_MIN".into(),
        ),
    ] {
        writeln!(out, "\n// {comment}\n#define CHASSIS_{name} {value}").unwrap();
    }
    writeln!(out, "\n// Canonical error codes: google.rpc.Code's names and numbers.").unwrap();
    for code in chassis_abi::Code::ALL {
        writeln!(out, "#define CHASSIS_CODE_{} {}", code.as_str().to_uppercase(), *code as u32).unwrap();
    }
    out.push('\n');
    for name in STRUCTS {
        writeln!(out, "typedef struct {name} {name};").unwrap();
    }
    out
}

const STRUCTS: [&str; 14] = [
    "ChassisPlugin",
    "ChassisCall",
    "ChassisOutcome",
    "ChassisFuture",
    "ChassisStream",
    "ChassisHostBytes",
    "ChassisPluginBytes",
    "ChassisOwnedBytes",
    "ChassisWaker",
    "ChassisWakerVtable",
    "ChassisHost",
    "ChassisTask",
    "ChassisIo",
    "ChassisManifestHeader",
];

/// ``[`crate::Code`]`` is a link in Rust; in C the name alone helps more, and it is the name that C has. Rust's ready-made
/// values have no place in C.
fn for_c(text: &str) -> String {
    let mut text = text.replace("[`crate::", "`").replace("[`", "`").replace("`]", "`");
    let names = ["PENDING", "READY", "END", "MAGIC", "LAYOUT_HASH", "ABI_MAJOR", "ABI_MINOR", "METRIC_*"];
    let flags = ["FLAG_RETRYABLE", "FLAG_MAYBE_APPLIED", "FLAG_POISONED"];
    for name in names.into_iter().chain(flags) {
        text = text.replace(&format!("`{name}`"), &format!("`CHASSIS_{name}`"));
    }
    text = text.replace("`Code`", "`CHASSIS_CODE_*`").replace("(see `code::ErrorDocument`)", ERROR_DOCUMENT);
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        if line.starts_with("#define Chassis") {
            lines.pop();
            continue;
        }
        lines.push(line);
    }
    lines.join("\n") + "\n"
}

const ERROR_DOCUMENT: &str = "{\"message\": \"…\", \"causes\": [\"…\"], \"status\": \"…\",\n  \
    // \"retry_after_ms\": 0, \"field\": \"…\"}, of which only the message is needed";
