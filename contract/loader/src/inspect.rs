//! What can be told of a library from its file alone.

use crate::refusal::{Refusal, RefusalKind};
use crate::{header, sanity};
use chassis_abi::SYMBOL;
use chassis_abi::manifest::{Manifest, SECTION_ELF, SECTION_MACHO};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader, SectionHeader};
use object::read::macho::MachOFatFile32;
use object::{Architecture, BinaryFormat, FileKind, NameOrOrdinal, Object, ObjectKind, ObjectSection};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A library that may be loaded, as far as its file tells.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// The file.
    pub path: PathBuf,
    /// What it says of itself.
    pub manifest: Arc<Manifest>,
    /// Major and minor of the boundary it was built for.
    pub abi: (u16, u16),
    /// The first 16 hexadecimal digits of the file's SHA-256.
    pub build_id: String,
    // Kept for the first `load`, so that what was looked at is what is opened, and the file is read once.
    contents: Arc<Mutex<Option<Vec<u8>>>>,
}

/// Reads a library's file, and runs nothing of it.
///
/// # Errors
/// A [`Refusal`] when the file is no library for this machine and this boundary, or carries no sound manifest.
pub fn inspect(path: &Path) -> Result<Inspected, Refusal> {
    let contents = read(path, "reading it")?;
    let section = manifest_section(path, &contents)?;
    let (manifest, abi) = header::parse(path, section)?;
    sanity::check(path, &manifest)?;
    let (manifest, build_id) = (Arc::new(manifest), build_id(&contents));
    Ok(Inspected {
        path: path.to_owned(),
        manifest,
        abi,
        build_id,
        contents: Arc::new(Mutex::new(Some(contents))),
    })
}

/// No library is larger: a file that is would only fill the memory.
const LARGEST: u64 = 1 << 30;

/// A pipe would be waited for, and a device read, for ever.
fn read(path: &Path, doing: &str) -> Result<Vec<u8>, Refusal> {
    let failed = |error: std::io::Error| Refusal::io(path, doing, &error);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    let found = match metadata.len() {
        _ if !metadata.is_file() => "no regular file".to_owned(),
        length if length > LARGEST => format!("{length} bytes"),
        _ => return std::fs::read(path).map_err(failed),
    };
    let expected = format!("a regular file of at most {LARGEST} bytes");
    Err(Refusal::new(RefusalKind::NotALibrary, path, found, expected, "take it out of the folder of plugins"))
}

impl Inspected {
    /// Gives the file's bytes back to the system. A later load reads the file again.
    pub fn forget_contents(&self) {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The bytes that were inspected: those that were read then, or the file's, if it is still the same build.
    pub(crate) fn contents(&self) -> Result<Vec<u8>, Refusal> {
        if let Some(contents) = self.contents.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Ok(contents);
        }
        let path = &self.path;
        let contents = read(path, "reading it again")?;
        let found = build_id(&contents);
        if found == self.build_id {
            return Ok(contents);
        }
        Err(Refusal::new(
            RefusalKind::Io,
            path,
            format!("build {found}"),
            format!("build {}, which was inspected before", self.build_id),
            "the file was replaced in the mean time: inspect it again",
        ))
    }
}

fn build_id(contents: &[u8]) -> String {
    Sha256::digest(contents).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

const FORMAT: BinaryFormat =
    if cfg!(target_vendor = "apple") { BinaryFormat::MachO } else { BinaryFormat::Elf };

const ARCHITECTURE: Architecture = if cfg!(target_arch = "x86_64") {
    Architecture::X86_64
} else if cfg!(target_arch = "aarch64") {
    Architecture::Aarch64
} else if cfg!(target_arch = "riscv64") {
    Architecture::Riscv64
} else if cfg!(target_arch = "s390x") {
    Architecture::S390x
} else if cfg!(target_arch = "powerpc64") {
    Architecture::PowerPc64
} else {
    Architecture::Unknown
};

fn manifest_section<'a>(path: &Path, contents: &'a [u8]) -> Result<&'a [u8], Refusal> {
    let contents = match kind(contents) {
        None => return Err(not_a_library(path, "a file that is neither ELF nor Mach-O")),
        Some(FileKind::MachOFat32) => our_slice(path, contents)?,
        Some(_) => contents,
    };
    let truncated = |what: String| truncated(path, contents.len(), &what);
    let file = object::File::parse(contents).map_err(|error| truncated(error.to_string()))?;
    if (file.format(), file.architecture()) != (FORMAT, ARCHITECTURE) || !file.is_64() {
        return Err(wrong_architecture(path, &file));
    }
    if let object::File::Elf64(elf) = &file {
        check_extents(elf, contents.len() as u64).map_err(truncated)?;
    }
    if file.kind() != ObjectKind::Dynamic {
        return Err(not_a_library(path, &format!("an object file of kind `{:?}`", file.kind())));
    }
    if !exports_symbol(&file).map_err(|error| truncated(error.to_string()))? {
        return Err(Refusal::new(
            RefusalKind::MissingSymbol,
            path,
            "a library that does not export it",
            format!("the exported symbol `{SYMBOL}`"),
            "export the plugin's table with `chassis_guest::export!`, or remove the file if it is no plugin",
        ));
    }
    let section = match FORMAT {
        BinaryFormat::MachO => file.sections().find(|section| {
            (section.segment_name(), section.name()) == (Ok(Some(SECTION_MACHO.0)), Ok(SECTION_MACHO.1))
        }),
        _ => file.section_by_name(SECTION_ELF),
    };
    let Some(section) = section else { return Err(header::no_manifest(path, "no section of that name")) };
    section.data().map_err(|error| truncated(error.to_string()))
}

/// The kind of file, with files that are too short for a whole header told by their magic.
fn kind(contents: &[u8]) -> Option<FileKind> {
    let of_interest = |kind| {
        use FileKind::{Elf32, Elf64, MachO32, MachO64, MachOFat32};
        matches!(kind, Elf32 | Elf64 | MachO32 | MachO64 | MachOFat32)
    };
    let elf = contents.starts_with(b"\x7fELF").then_some(FileKind::Elf64);
    FileKind::parse(contents).ok().filter(|kind| of_interest(*kind)).or(elf)
}

fn our_slice<'a>(path: &Path, contents: &'a [u8]) -> Result<&'a [u8], Refusal> {
    use object::read::macho::FatArch;
    let cut = |error: object::Error| truncated(path, contents.len(), &error.to_string());
    let file = MachOFatFile32::parse(contents).map_err(cut)?;
    match file.arches().iter().find(|arch| arch.architecture() == ARCHITECTURE) {
        Some(arch) => arch.data(contents).map_err(cut),
        None => Err(wrong_architecture_of(path, "a universal Mach-O without this processor".to_owned())),
    }
}

/// The loader of the system maps what the headers say, whether the file is long enough or not.
fn check_extents(elf: &ElfFile64<'_>, len: u64) -> Result<(), String> {
    let (header, endian) = (elf.elf_header(), elf.endian());
    let table =
        header.e_shoff(endian) + u64::from(header.e_shnum(endian)) * u64::from(header.e_shentsize(endian));
    if table > len {
        return Err(format!("its section headers end at byte {table}"));
    }
    for segment in elf.elf_program_headers() {
        let (offset, size) = segment.file_range(endian);
        if offset.saturating_add(size) > len {
            return Err(format!("a segment of it ends at byte {}", offset.saturating_add(size)));
        }
    }
    for section in elf.elf_section_table().iter() {
        let (offset, size) = section.file_range(endian).unwrap_or_default();
        if offset.saturating_add(size) > len {
            return Err(format!("a section of it ends at byte {}", offset.saturating_add(size)));
        }
    }
    Ok(())
}

fn exports_symbol(file: &object::File<'_>) -> object::Result<bool> {
    // Mach-O puts an underscore before every name of C.
    let wanted = if file.format() == BinaryFormat::MachO { format!("_{SYMBOL}") } else { SYMBOL.to_owned() };
    for export in file.exports()? {
        if matches!(export?.name(), NameOrOrdinal::Name(name) if name == wanted.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn not_a_library(path: &Path, found: &str) -> Refusal {
    let expected = format!("a shared library ({FORMAT:?})");
    let advice =
        "build the plugin with crate-type \"cdylib\" and put only its library into the folder of plugins";
    Refusal::new(RefusalKind::NotALibrary, path, found, expected, advice)
}

fn truncated(path: &Path, len: usize, what: &str) -> Refusal {
    let found = format!("{len} bytes, and {what}");
    let advice = "copy or build the file again; it was cut off, or is damaged";
    Refusal::new(RefusalKind::Truncated, path, found, "a whole shared library", advice)
}

fn wrong_architecture(path: &Path, file: &object::File<'_>) -> Refusal {
    let bits = if file.is_64() { 64 } else { 32 };
    let machine = match file {
        object::File::Elf64(elf) => format!(" (machine {})", elf.elf_header().e_machine(elf.endian())),
        _ => String::new(),
    };
    wrong_architecture_of(
        path,
        format!("{:?} for {:?}{machine}, {bits} bits", file.format(), file.architecture()),
    )
}

fn wrong_architecture_of(path: &Path, found: String) -> Refusal {
    let expected = format!("{FORMAT:?} for {ARCHITECTURE:?}, 64 bits");
    Refusal::new(RefusalKind::WrongArchitecture, path, found, expected, "build the plugin for this machine")
}
