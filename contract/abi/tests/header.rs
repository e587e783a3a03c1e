//! `chassis.h` says what this crate says. `CHASSIS_BLESS=1 cargo test -p chassis-abi --test header` writes it anew.

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
    let include = concat!("-I", env!("CARGO_MANIFEST_DIR"));
    for (compiler, language, standard) in [("cc", "c", "-std=c99"), ("c++", "c++", "-std=c++11")] {
        let source = "#include \"chassis.h\"\nint main(void) { return (int)CHASSIS_READY - 1; }\n";
        let source_file = std::env::temp_dir().join(format!("chassis-header-{}.{language}", std::process::id()));
        std::fs::write(&source_file, source).unwrap();
        let output = Command::new(compiler)
            .args(["-x", language, standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", include])
            .arg(&source_file)
            .output();
        std::fs::remove_file(&source_file).unwrap();
        match output {
            Err(_) => println!("skipped: no compiler `{compiler}`"),
            Ok(output) => {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            }
        }
    }
}

fn generate() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    config.header = Some(PREFACE.to_owned());
    config.trailer = Some(trailer());
    let sources = ["lib", "call", "host", "waker", "manifest"].map(|name| root.join(format!("src/{name}.rs")));
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in sources {
        builder = builder.with_src(source);
    }
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    without_rustdoc_links(&String::from_utf8(header).unwrap())
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

/// What cbindgen does not see: it evaluates no constants, and expands no macros.
fn trailer() -> String {
    let mut out = String::from("/* Canonical error codes: google.rpc.Code's names and numbers. */\n");
    for code in chassis_abi::Code::ALL {
        writeln!(out, "#define CHASSIS_CODE_{} {}", code.as_str().to_uppercase(), *code as u32).unwrap();
    }
    let hash = chassis_abi::LAYOUT_HASH;
    writeln!(out, "\n/* The layout of this header's structs, for the manifest's header. */").unwrap();
    writeln!(out, "#define CHASSIS_LAYOUT_HASH UINT64_C(0x{hash:016x})").unwrap();
    writeln!(out, "\n/* First bytes of the manifest's header: seven letters and a zero. */").unwrap();
    let magic = std::str::from_utf8(&chassis_abi::manifest::MAGIC).unwrap().trim_end_matches('\0');
    writeln!(out, "#define CHASSIS_MAGIC \"{magic}\"").unwrap();
    writeln!(out, "\n/* `poll_*` of ChassisIo: not yet. Other negative numbers are an errno, negated. */").unwrap();
    writeln!(out, "#define CHASSIS_IO_PENDING INTPTR_MIN").unwrap();
    assert_eq!(chassis_abi::host::IO_PENDING, isize::MIN);
    writeln!(out, "\n/* Where the manifest lies. */").unwrap();
    writeln!(out, "#define CHASSIS_SECTION_ELF \"{}\"", chassis_abi::manifest::SECTION_ELF).unwrap();
    let (segment, section) = chassis_abi::manifest::SECTION_MACHO;
    writeln!(out, "#define CHASSIS_SECTION_MACHO \"{segment},{section}\"").unwrap();
    out
}

/// ``[`crate::Code`]`` is a link in Rust; in C the name alone helps more.
fn without_rustdoc_links(text: &str) -> String {
    text.replace("[`crate::", "`").replace("[`", "`").replace("`]", "`")
}
