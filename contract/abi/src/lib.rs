//! The boundary between host and plugin, as C sees it.
//!
//! A plugin exports one symbol, `chassis_plugin`, a static [`ChassisPlugin`] table, and carries its
//! manifest in the section `.chassis`, readable before the library is opened (see [`manifest`]).
//! `chassis.h` beside this crate is generated from it.
//!
//! # The rules
//! - **Append only.** Fields are never removed, reordered or retyped within major 1. A later minor appends
//!   slots; `struct_size` says how many are there, and a slot that is absent or null is not offered.
//! - **Who allocates frees.** [`HostBytes`] and [`PluginBytes`] are borrowed; [`OwnedBytes`] carry their release.
//! - **The host polls.** A call is a [`ChassisFuture`]; dropping it cancels the work. Poll and drop of one future
//!   are never concurrent, but may come from different threads. After `READY` only `drop` may be called.
//! - **A call's memory stays.** The [`ChassisCall`] and all it points to live until its future *and* the stream that the
//!   future answered with, if any, are dropped.
//! - **No unwinding across.** Every function of a table returns; a panic is caught on the side it happened on.
//! - **Streams are paid for.** A producer yields at most as many items as its consumer granted.

pub mod call;
pub mod code;
pub mod host;
mod layout;
pub mod manifest;
pub mod waker;

pub use call::{
    ChassisCall, ChassisFuture, ChassisOutcome, ChassisStream, HostBytes, OwnedBytes, PluginBytes,
};
pub use code::Code;
pub use host::{ChassisHost, ChassisIo, ChassisTask};
pub use layout::LAYOUT_HASH;
pub use waker::{ChassisWaker, ChassisWakerVtable};

use std::ffi::c_void;

/// Major version of the boundary. Host and plugin must agree on it.
pub const ABI_MAJOR: u16 = 1;
/// Minor version of the boundary. A plugin may be older than the host, never newer.
pub const ABI_MINOR: u16 = 0;
/// The one exported symbol: a static [`ChassisPlugin`].
pub const SYMBOL: &str = "chassis_plugin";

/// The table a plugin exports under the name `chassis_plugin`. It is static and immutable.
#[repr(C)]
pub struct ChassisPlugin {
    /// Size of this table in bytes, as the plugin was compiled.
    pub struct_size: u32,
    /// [`ABI_MAJOR`] the plugin was compiled against.
    pub abi_major: u16,
    /// [`ABI_MINOR`] the plugin was compiled against.
    pub abi_minor: u16,
    /// The manifest section's bytes (static), so that the linker keeps them.
    pub manifest: PluginBytes,
    /// Makes an instance from its configuration (a JSON object, borrowed for this call). Returns null on failure, with
    /// the error in `out`. Must not wait for a server: one that is down is seen by calls. `host` lives until `destroy`
    /// has returned. May be called from any thread, several times.
    pub create: Option<
        unsafe extern "C" fn(
            host: *const ChassisHost,
            config: HostBytes,
            out: *mut ChassisOutcome,
        ) -> *mut c_void,
    >,
    /// Begins one operation. Does no work before the first poll. May be called from any thread at any time.
    pub call: Option<unsafe extern "C" fn(instance: *mut c_void, call: *const ChassisCall) -> ChassisFuture>,
    /// Closes the instance in good order (pools, sessions). Optional. No call is begun afterwards.
    pub close: Option<unsafe extern "C" fn(instance: *mut c_void) -> ChassisFuture>,
    /// Frees the instance after all its futures and streams are gone: every thread it started has ended and every file
    /// it opened is closed when this returns. May block for a short time.
    pub destroy: Option<unsafe extern "C" fn(instance: *mut c_void)>,
}

// SAFETY: the table is immutable; its pointers are to static data and functions that any thread may call.
unsafe impl Sync for ChassisPlugin {}
// SAFETY: as above.
unsafe impl Send for ChassisPlugin {}
