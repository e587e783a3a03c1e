//! The manifest: what a plugin says of itself, readable from its file before any of its code runs.
//!
//! Section `.chassis` (ELF) or `__DATA,__chassis` (Mach-O) holds a [`ManifestHeader`] and, right after it, `json_len` bytes of
//! JSON: a [`Manifest`].

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Name of the section in an ELF file.
pub const SECTION_ELF: &str = ".chassis";
/// Segment and name of the section in a Mach-O file.
pub const SECTION_MACHO: (&str, &str) = ("__DATA", "__chassis");
/// First bytes of the section.
pub const MAGIC: [u8; 8] = *b"CHASSIS\0";

/// What stands before the JSON. Little-endian, no padding.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ManifestHeader {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`crate::ABI_MAJOR`].
    pub abi_major: u16,
    /// [`crate::ABI_MINOR`].
    pub abi_minor: u16,
    /// Size of this header in bytes.
    pub header_size: u32,
    /// [`crate::LAYOUT_HASH`].
    pub layout_hash: u64,
    /// Length of the JSON in bytes.
    pub json_len: u64,
}

const _: () = assert!(size_of::<ManifestHeader>() == 32);

impl ManifestHeader {
    /// The header of a plugin compiled against this crate.
    pub const fn new(json_len: usize) -> Self {
        Self {
            magic: MAGIC,
            abi_major: crate::ABI_MAJOR,
            abi_minor: crate::ABI_MINOR,
            header_size: size_of::<Self>() as u32,
            layout_hash: crate::LAYOUT_HASH,
            json_len: json_len as u64,
        }
    }
}

/// The section as one static: header and JSON.
#[repr(C)]
pub struct ManifestSection<const N: usize> {
    /// The header.
    pub header: ManifestHeader,
    /// The JSON.
    pub json: [u8; N],
}

/// The layout hash that a plugin of this minor carries; `None` for a minor that is not known.
pub const fn layout_hash_of_minor(minor: u16) -> Option<u64> {
    match minor {
        0 => Some(0x9118_9497_bae4_773d),
        _ => None,
    }
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Short name, the one that configuration uses: `redis`.
    pub name: String,
    /// Version of the plugin (semver).
    pub version: String,
    /// One sentence.
    pub description: String,
    /// Contracts it implements, in full.
    pub contracts: Vec<String>,
    /// JSON schema of its configuration.
    pub config: Value,
    /// Configuration fields that hold a secret, as JSON pointers into the configuration. Never shown.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// What it reaches for.
    #[serde(default)]
    pub permissions: Permissions,
    /// Its operations. [`crate::ChassisCall::operation`] is a position in this list.
    pub operations: Vec<Operation>,
}

/// What a plugin reaches for; shown before it is trusted, enforced when it is isolated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Permissions {
    /// Configuration fields (JSON pointers) that name the network targets.
    pub network: Vec<String>,
    /// Configuration fields (JSON pointers) that name files or folders.
    pub files: Vec<String>,
}

/// One thing a plugin can do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Its name, unique in the plugin: `get`.
    pub name: String,
    /// The contract it belongs to; none for an operation of the plugin's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// One sentence.
    pub summary: String,
    /// Whether it changes anything.
    pub effect: Effect,
    /// Doing it twice with the same input is the same as doing it once.
    #[serde(default, skip_serializing_if = "is_false")]
    pub idempotent: bool,
    /// With an idempotency key it is done once, however often it is called.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keyed: bool,
    /// The operation that does many of these in one: its input is `{"items": [input, …]}`, its output
    /// `{"items": [{"ok": output} | {"error": {…}}, …]}` in the same order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batched_by: Option<String>,
    /// The driver sends concurrent calls together by itself, over one connection: gathering them into `batched_by` costs more than
    /// it saves, and is done only where the configuration asks for it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pipelined: bool,
    /// Takes a raw attachment.
    #[serde(default, skip_serializing_if = "is_false")]
    pub raw_input: bool,
    /// Answers with a raw attachment.
    #[serde(default, skip_serializing_if = "is_false")]
    pub raw_output: bool,
    /// Takes a stream of items.
    #[serde(default, skip_serializing_if = "is_false")]
    pub upload: bool,
    /// JSON schema of the input.
    pub input: Value,
    /// JSON schema of the output.
    pub output: Value,
    /// JSON schema of an item, for an operation that answers with a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Value>,
    /// What the host needs to make spans and metrics of a call.
    pub telemetry: Telemetry,
}

/// Whether an operation changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It only reads.
    Read,
    /// It changes something.
    Write,
}

/// By which convention a call is reported (OpenTelemetry semantic conventions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TelemetryKind {
    /// `db.client.*`
    Database,
    /// `messaging.*`
    Messaging,
    /// `http.client.*`
    Http,
    /// None of them: an internal span.
    Internal,
}

/// What the host needs to make spans and metrics of a call. Values that vary are JSON pointers, so that plugins write none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// The convention.
    pub kind: TelemetryKind,
    /// `db.system.name` or `messaging.system`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// `db.operation.name`, `messaging.operation.name`: what the backend itself calls it.
    pub operation: String,
    /// `messaging.operation.type`: `send`, `receive`, `process`, `settle`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_type: Option<String>,
    /// Pointer into the input to the collection, table, index or queue; to the URL template for HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Pointer into the input to a parameterised query text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_text: Option<String>,
    /// Pointer into the configuration to the address of the server: a URL, or `host:port`. `/host:/port or /url` tells several
    /// places: what the first leaves open, the next one says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Pointers into the configuration for `db.namespace`, joined with `|`. `/a or /b` is the first that is there; of a URL the path
    /// counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace: Vec<String>,
    /// The server's usual port, left out of `server.port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_port: Option<u16>,
    /// More attributes: name to JSON pointer, `/input/…` into the input or `/output/…` into the output, or a plain value. In a
    /// plain value `{server}` stands for the server's URL (without credentials), `{target}` for the target, `{/input/…}` for a
    /// value of the input; where one of them is missing, so is the attribute.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

impl Manifest {
    /// Position and description of an operation.
    pub fn operation(&self, name: &str) -> Option<(u32, &Operation)> {
        let at = self.operations.iter().position(|op| op.name == name)?;
        Some((at as u32, &self.operations[at]))
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}
