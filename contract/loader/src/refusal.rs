//! Why a library is not loaded.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

/// A library that is not loaded. It has run no code, unless the kind is [`RefusalKind::OpenFailed`] or
/// [`RefusalKind::BadTable`], which are found out by opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    kind: RefusalKind,
    path: PathBuf,
    found: String,
    expected: String,
    advice: String,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// The kinds of refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RefusalKind { $($(#[$doc])* $variant,)* }

        impl RefusalKind {
            /// Every kind.
            pub const ALL: &[RefusalKind] = &[$(RefusalKind::$variant),*];

            /// The name used in JSON and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(RefusalKind::$variant => $name,)* }
            }
        }
    };
}

kinds! {
    /// Built for another major of the boundary.
    WrongMajor = "wrong_major";
    /// Built for a later minor of the boundary than this host's.
    NewerMinor = "newer_minor";
    /// Built for another processor or operating system.
    WrongArchitecture = "wrong_architecture";
    /// Does not export `chassis_plugin`.
    MissingSymbol = "missing_symbol";
    /// The file ends too early.
    Truncated = "truncated";
    /// Not a shared library at all.
    NotALibrary = "not_a_library";
    /// Its structs are not laid out as this boundary's are.
    LayoutMismatch = "layout_mismatch";
    /// Implements a contract that this host does not know.
    UnknownContract = "unknown_contract";
    /// Carries no manifest.
    NoManifest = "no_manifest";
    /// Its manifest cannot be read, or contradicts itself.
    BadManifest = "bad_manifest";
    /// The system's loader does not open it.
    OpenFailed = "open_failed";
    /// Its table lacks a slot that every plugin has.
    BadTable = "bad_table";
    /// This process has loaded as many libraries as it may.
    TooManyLoads = "too_many_loads";
    /// The file cannot be read, or not be copied.
    Io = "io";
}

impl Refusal {
    /// Its kind.
    pub fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was found.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// What was expected instead.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// What to do.
    pub fn advice(&self) -> &str {
        &self.advice
    }

    pub(crate) fn new(
        kind: RefusalKind,
        path: &Path,
        found: impl Into<String>,
        expected: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let (found, expected, advice) = (found.into(), expected.into(), advice.into());
        Self { kind, path: path.to_owned(), found, expected, advice }
    }

    pub(crate) fn io(path: &Path, doing: &str, error: &std::io::Error) -> Self {
        Self::new(
            RefusalKind::Io,
            path,
            format!("{doing} failed with `{error}`"),
            "a file that can be read and copied",
            "check that the path exists, its permissions, and the space left on the disk",
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, path, found, expected, advice } = self;
        write!(f, "{} is refused ({kind}): found {found}, expected {expected}; {advice}", path.display())
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Error for Refusal {}
