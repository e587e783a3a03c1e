//! One call: what goes in, what comes out, and how it is waited for.

use crate::ChassisWaker;
use std::ffi::c_void;

/// Bytes that belong to the host and are only lent: null with length 0, or valid as long as the call that they came with.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct HostBytes {
    /// First byte; may be null when `len` is 0.
    pub ptr: *const u8,
    /// Length in bytes.
    pub len: usize,
}

/// Bytes that belong to the plugin and are only lent. In the plugin's table they are static.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PluginBytes {
    /// First byte; may be null when `len` is 0.
    pub ptr: *const u8,
    /// Length in bytes.
    pub len: usize,
}

/// Bytes handed over. Who receives them calls `release` exactly once; null `release` means that there is nothing to free.
#[repr(C)]
pub struct OwnedBytes {
    /// First byte; may be null when `len` is 0.
    pub ptr: *const u8,
    /// Length in bytes.
    pub len: usize,
    /// The maker's own word, for `release`.
    pub owner: *mut c_void,
    /// Frees the bytes; callable from any thread.
    pub release: Option<unsafe extern "C" fn(ptr: *const u8, len: usize, owner: *mut c_void)>,
}

/// One use of an operation. Everything in it is borrowed until its future (and answered stream) is dropped.
#[repr(C)]
pub struct ChassisCall {
    /// Size of this struct in bytes, as the host was compiled.
    pub struct_size: u32,
    /// Position of the operation in the manifest's `operations`.
    pub operation: u32,
    /// Input as JSON (UTF-8); empty means `{}`.
    pub json: HostBytes,
    /// Raw attachment beside the JSON; empty when the operation takes none.
    pub raw: HostBytes,
    /// W3C `traceparent` of the caller's span; empty when the call is not traced.
    pub traceparent: HostBytes,
    /// W3C `tracestate`; may be empty.
    pub tracestate: HostBytes,
    /// Key under which a repeated call must not take effect twice; empty when there is none.
    pub idempotency_key: HostBytes,
    /// On whose behalf; empty when there is none.
    pub tenant: HostBytes,
    /// Absolute deadline in nanoseconds of the Unix epoch; 0 means none. The host enforces it by dropping the future; a plugin
    /// hands it to its server where the server understands deadlines.
    pub deadline_unix_ns: u64,
    /// Items going to the plugin (an upload); `data` is null when there are none. The plugin takes it over and drops it.
    pub upload: ChassisStream,
}

/// How a call, an item of a stream, or a `create` ended.
#[repr(C)]
pub struct ChassisOutcome {
    /// 0 for success, else a [`crate::Code`].
    pub code: u32,
    /// [`FLAG_RETRYABLE`], [`FLAG_MAYBE_APPLIED`] and [`FLAG_POISONED`], of an error.
    pub flags: u32,
    /// Success: the output as JSON. Error: an error document (see [`crate::code::ErrorDocument`]).
    pub json: OwnedBytes,
    /// Raw attachment beside the JSON.
    pub raw: OwnedBytes,
    /// Items that follow; `data` is null when the operation answers with no stream.
    pub stream: ChassisStream,
}

/// The same call may succeed later.
pub const FLAG_RETRYABLE: u32 = 1;
/// The effect may have happened although the call failed.
pub const FLAG_MAYBE_APPLIED: u32 = 2;
/// The instance is poisoned by a panic: the host makes a new one.
pub const FLAG_POISONED: u32 = 4;

/// An operation number that no manifest has: a plugin made with the SDK panics in its first poll, so that the conformance suite
/// sees a panic caught and the instance made again. A plugin may answer it with `unimplemented` instead.
pub const OPERATION_PANIC: u32 = u32::MAX;

/// `poll` answers: not yet, the waker will be called.
pub const PENDING: u32 = 0;
/// `poll` answers: done, or one item; `out` is written.
pub const READY: u32 = 1;
/// `poll_next` answers: no more items; `out` is not written.
pub const END: u32 = 2;

/// Work that its holder polls. Plain data: not copying it is the holder's duty.
#[repr(C)]
pub struct ChassisFuture {
    /// The maker's state.
    pub data: *mut c_void,
    /// Makes progress; [`PENDING`] (the waker is kept) or [`READY`] (`out` is written, and handed over). `waker` is borrowed
    /// for this poll. `out` points to uninitialised memory.
    pub poll: Option<
        unsafe extern "C" fn(data: *mut c_void, waker: *const ChassisWaker, out: *mut ChassisOutcome) -> u32,
    >,
    /// Cancels what is not done, and frees the state.
    pub drop: Option<unsafe extern "C" fn(data: *mut c_void)>,
}

/// Items that its holder asks for, a number at a time.
#[repr(C)]
pub struct ChassisStream {
    /// The maker's state; null for no stream.
    pub data: *mut c_void,
    /// The next item: [`PENDING`], [`READY`] (`out` is written; an outcome with a code is the last), or [`END`].
    pub poll_next: Option<
        unsafe extern "C" fn(data: *mut c_void, waker: *const ChassisWaker, out: *mut ChassisOutcome) -> u32,
    >,
    /// Allows `credits` more items. A stream begins with none.
    pub grant: Option<unsafe extern "C" fn(data: *mut c_void, credits: u32)>,
    /// Stops the producer and frees the state.
    pub drop: Option<unsafe extern "C" fn(data: *mut c_void)>,
}

impl HostBytes {
    /// Lends a slice; the caller sees to it that it lives long enough.
    pub const fn lend(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }
}

impl PluginBytes {
    /// Lends a static slice.
    pub const fn lend(bytes: &'static [u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }
}

impl OwnedBytes {
    /// No bytes.
    pub const EMPTY: Self =
        Self { ptr: std::ptr::null(), len: 0, owner: std::ptr::null_mut(), release: None };
}

impl ChassisStream {
    /// No stream.
    pub const NONE: Self = Self { data: std::ptr::null_mut(), poll_next: None, grant: None, drop: None };
}

impl ChassisOutcome {
    /// Success without a body.
    pub const EMPTY: Self = Self {
        code: 0,
        flags: 0,
        json: OwnedBytes::EMPTY,
        raw: OwnedBytes::EMPTY,
        stream: ChassisStream::NONE,
    };
}

// SAFETY: who holds a future may poll and drop it from any one thread at a time (crate docs); its maker sees to that.
unsafe impl Send for ChassisFuture {}
// SAFETY: as for ChassisFuture.
unsafe impl Send for ChassisStream {}
// SAFETY: its slots are called by unsafe code only, which keeps to one thread at a time.
unsafe impl Sync for ChassisStream {}
// SAFETY: `release` may be called from any thread, and the bytes are not changed after they were handed over.
unsafe impl Send for OwnedBytes {}
// SAFETY: as above; a shared reference only reads.
unsafe impl Sync for OwnedBytes {}
