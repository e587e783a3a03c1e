//! The calls over the boundary. The only file with `from_raw_parts` and with calls of a plugin's functions; what it offers
//! to the rest of the crate owns what came over, and gives it back when dropped.
//!
//! Easy to get wrong: a null pointer with length 0 is an empty slice; an outcome is only written on `READY`; a future or a
//! stream is dropped exactly once, and before the memory of its call.

use crate::Call;
use bytes::Bytes;
use chassis_abi::call::{END, PENDING, READY};
use chassis_abi::waker::LentWaker;
use chassis_abi::{
    ChassisCall, ChassisFuture, ChassisHost, ChassisOutcome, ChassisPlugin, ChassisStream, ChassisWaker,
    HostBytes, OwnedBytes,
};
use std::ffi::c_void;
use std::marker::PhantomPinned;
use std::mem::{MaybeUninit, offset_of};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

/// A slice from the boundary; null is empty.
///
/// # Safety
/// `ptr` points to `len` bytes that live and do not change for `'a`, or `len` is 0.
pub(crate) unsafe fn slice<'a>(ptr: *const u8, len: usize) -> &'a [u8] {
    if ptr.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { std::slice::from_raw_parts(ptr, len) }
}

/// A buffer from the boundary that is to be written.
///
/// # Safety
/// As for [`slice`], and nobody else looks at it. The bytes may be uninitialised: they must only be written.
pub(crate) unsafe fn slice_mut<'a>(ptr: *mut u8, len: usize) -> &'a mut [MaybeUninit<u8>] {
    if ptr.is_null() || len == 0 {
        return &mut [];
    }
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { std::slice::from_raw_parts_mut(ptr.cast(), len) }
}

/// The functions of a plugin's table, checked.
pub(crate) struct Table {
    create: unsafe extern "C" fn(*const ChassisHost, HostBytes, *mut ChassisOutcome) -> *mut c_void,
    call: unsafe extern "C" fn(*mut c_void, *const ChassisCall) -> ChassisFuture,
    close: Option<unsafe extern "C" fn(*mut c_void) -> ChassisFuture>,
    destroy: unsafe extern "C" fn(*mut c_void),
}

impl Table {
    /// Reads a table; the error says what is wrong with it.
    ///
    /// # Safety
    /// `table` is what `chassis_plugin` of an open library points to, whose manifest says `abi`.
    pub(crate) unsafe fn read(table: *const ChassisPlugin, abi: (u16, u16)) -> Result<Self, String> {
        let Some(table) = NonNull::new(table.cast_mut()) else { return Err("a null table".into()) };
        // SAFETY: the size comes first in every version of the table.
        let size = unsafe { table.cast::<u32>().read_unaligned() };
        if !table.is_aligned() || (size as usize) < size_of::<ChassisPlugin>() {
            return Err(format!("a table of {size} bytes"));
        }
        // SAFETY: aligned and at least as long as the struct; static by contract.
        let table: &'static ChassisPlugin = unsafe { table.as_ref() };
        if (table.abi_major, table.abi_minor) != abi {
            let (major, minor) = (table.abi_major, table.abi_minor);
            return Err(format!(
                "a table of version {major}.{minor} beside a manifest of {}.{}",
                abi.0, abi.1
            ));
        }
        Ok(Self {
            create: table.create.ok_or("no `create`")?,
            call: table.call.ok_or("no `call`")?,
            close: table.close,
            destroy: table.destroy.ok_or("no `destroy`")?,
        })
    }

    /// Makes an instance. The host's table must live until [`Table::destroy`] has returned.
    pub(crate) fn create(&self, host: &ChassisHost, config: &[u8]) -> Result<NonNull<c_void>, RawOutcome> {
        let mut out = ChassisOutcome::EMPTY;
        // SAFETY: `config` and `out` live for this call, `host` as the caller vouches.
        let instance = unsafe { (self.create)(host, HostBytes::lend(config), &mut out) };
        NonNull::new(instance).ok_or(RawOutcome(out))
    }

    /// Closes an instance in good order; `None` when the plugin has nothing to close.
    pub(crate) fn close(&self, instance: NonNull<c_void>) -> Option<RawFuture> {
        // SAFETY: the instance is alive, as its holder calls this.
        self.close.map(|close| RawFuture(unsafe { close(instance.as_ptr()) }))
    }

    /// Frees an instance.
    ///
    /// # Safety
    /// All its futures and streams are gone, and it is not used again.
    pub(crate) unsafe fn destroy(&self, instance: NonNull<c_void>) {
        // SAFETY: as the caller vouches.
        unsafe { (self.destroy)(instance.as_ptr()) }
    }
}

/// What a call lends to the plugin, at one place in memory.
pub(crate) struct CallMemory {
    call: Call,
    lent: MaybeUninit<ChassisCall>,
    _pinned: PhantomPinned,
}

// SAFETY: the pointers in `lent` are to what `call` owns, which is Send.
unsafe impl Send for CallMemory {}

impl CallMemory {
    #[inline]
    pub(crate) fn new(call: Call) -> Self {
        Self { call, lent: MaybeUninit::uninit(), _pinned: PhantomPinned }
    }

    /// Takes the call out, before it has begun.
    pub(crate) fn take(self: Pin<&mut Self>) -> Call {
        // SAFETY: the call is not pinned; only what is lent of it, after `begin`, must stay.
        std::mem::take(unsafe { &mut self.get_unchecked_mut().call })
    }

    pub(crate) fn operation(&self) -> u32 {
        self.call.operation
    }

    pub(crate) fn has_upload(&self) -> bool {
        self.call.upload.is_some()
    }

    /// Begins the call.
    ///
    /// # Safety
    /// The instance is alive, and the future, and the stream that it answers with, are dropped before `self` is.
    #[inline]
    pub(crate) unsafe fn begin(self: Pin<&mut Self>, table: &Table, instance: NonNull<c_void>) -> RawFuture {
        // SAFETY: nothing is moved out of the pin.
        let this = unsafe { self.get_unchecked_mut() };
        let call = &mut this.call;
        let text =
            |field: &Option<std::sync::Arc<str>>| HostBytes::lend(field.as_deref().unwrap_or("").as_bytes());
        let lent = this.lent.write(ChassisCall {
            struct_size: size_of::<ChassisCall>() as u32,
            operation: call.operation,
            json: HostBytes::lend(&call.json),
            raw: HostBytes::lend(&call.raw),
            traceparent: text(&call.traceparent),
            tracestate: text(&call.tracestate),
            idempotency_key: text(&call.idempotency_key),
            tenant: text(&call.tenant),
            deadline_unix_ns: call.deadline_unix_ns(),
            upload: call.upload.take().map_or(ChassisStream::NONE, crate::Upload::into_raw),
        });
        // SAFETY: `lent` and what it points to are pinned, and outlive the future as the caller vouches.
        RawFuture(unsafe { (table.call)(instance.as_ptr(), lent) })
    }
}

/// A plugin's future.
pub(crate) struct RawFuture(ChassisFuture);

impl RawFuture {
    /// Takes over a future that came over the boundary.
    pub(crate) fn new(future: ChassisFuture) -> Self {
        Self(future)
    }

    /// Polls. After `Ready` it is only dropped; `out` is written if that is `Ok`.
    #[inline]
    pub(crate) fn poll_into(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut MaybeUninit<RawOutcome>,
    ) -> Poll<Result<(), Defect>> {
        let Some(poll) = self.0.poll else { return Poll::Ready(Err(Defect::NoPoll)) };
        // SAFETY: made with `data`, and held by us alone.
        match unsafe { poll_with(poll, self.0.data, cx, out) } {
            PENDING => Poll::Pending,
            READY => Poll::Ready(Ok(())),
            other => Poll::Ready(Err(Defect::Answer(other))),
        }
    }

    /// Polls, where an outcome may be moved about.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<RawOutcome, Defect>> {
        let mut out = MaybeUninit::uninit();
        // SAFETY: it is written, as `poll_into` says.
        self.poll_into(cx, &mut out).map_ok(|()| unsafe { out.assume_init() })
    }
}

impl Drop for RawFuture {
    fn drop(&mut self) {
        if let Some(drop) = self.0.drop {
            // SAFETY: dropped once, here.
            unsafe { drop(self.0.data) };
        }
    }
}

/// A plugin's stream.
pub(crate) struct RawStream(ChassisStream);

impl RawStream {
    /// Polls for an item; `None` is the end. After the end, or an outcome with a code, it is only dropped.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<RawOutcome, Defect>>> {
        let Some(poll) = self.0.poll_next else { return Poll::Ready(Some(Err(Defect::NoPoll))) };
        let mut out = MaybeUninit::uninit();
        // SAFETY: made with `data`, and held by us alone.
        match unsafe { poll_with(poll, self.0.data, cx, &mut out) } {
            PENDING => Poll::Pending,
            // SAFETY: READY means that the outcome is written.
            READY => Poll::Ready(Some(Ok(unsafe { out.assume_init() }))),
            END => Poll::Ready(None),
            other => Poll::Ready(Some(Err(Defect::Answer(other)))),
        }
    }

    pub(crate) fn grant(&mut self, credits: u32) {
        if let Some(grant) = self.0.grant {
            // SAFETY: the stream is alive and held by us alone.
            unsafe { grant(self.0.data, credits) };
        }
    }
}

impl Drop for RawStream {
    fn drop(&mut self) {
        if let Some(drop) = self.0.drop {
            // SAFETY: dropped once, here.
            unsafe { drop(self.0.data) };
        }
    }
}

/// What a plugin did that the boundary forbids.
#[derive(Clone, Copy)]
pub(crate) enum Defect {
    NoPoll,
    Answer(u32),
}

/// An outcome that came over the boundary, owned. It is what the plugin wrote, where the plugin wrote it: nothing of it is
/// taken apart on a call's way.
#[repr(transparent)]
pub(crate) struct RawOutcome(ChassisOutcome);

impl RawOutcome {
    /// A success that no plugin wrote.
    pub(crate) fn of_json(json: Bytes) -> Self {
        Self(ChassisOutcome { json: owned_bytes(json), ..ChassisOutcome::EMPTY })
    }

    pub(crate) fn code(&self) -> u32 {
        self.0.code
    }

    pub(crate) fn flags(&self) -> u32 {
        self.0.flags
    }

    pub(crate) fn json(&self) -> &[u8] {
        as_slice(&self.0.json)
    }

    pub(crate) fn raw(&self) -> &[u8] {
        as_slice(&self.0.raw)
    }

    /// JSON and raw attachment, each on its own.
    pub(crate) fn into_parts(mut self) -> (Owned, Owned) {
        let take = |bytes: &mut OwnedBytes| Owned(std::mem::replace(bytes, OwnedBytes::EMPTY));
        (take(&mut self.0.json), take(&mut self.0.raw))
    }

    pub(crate) fn take_stream(&mut self) -> Option<RawStream> {
        if self.0.stream.data.is_null() {
            return None;
        }
        Some(RawStream(std::mem::replace(&mut self.0.stream, ChassisStream::NONE)))
    }
}

impl Drop for RawOutcome {
    #[inline]
    fn drop(&mut self) {
        release(&self.0.json);
        release(&self.0.raw);
        drop(self.take_stream());
    }
}

/// Bytes that were handed over.
pub(crate) struct Owned(OwnedBytes);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        as_slice(&self.0)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        release(&self.0);
    }
}

fn as_slice(bytes: &OwnedBytes) -> &[u8] {
    // SAFETY: ours until released, and unchanged since they were handed over.
    unsafe { slice(bytes.ptr, bytes.len) }
}

/// Called once, when what holds the bytes is dropped.
#[inline]
fn release(bytes: &OwnedBytes) {
    if let Some(release) = bytes.release {
        // SAFETY: released once, as said above.
        unsafe { release(bytes.ptr, bytes.len, bytes.owner) };
    }
}

type PollFn = unsafe extern "C" fn(*mut c_void, *const ChassisWaker, *mut ChassisOutcome) -> u32;

/// # Safety
/// `poll` was made with `data`, which nobody else uses now.
#[inline(always)]
unsafe fn poll_with(
    poll: PollFn,
    data: *mut c_void,
    cx: &mut Context<'_>,
    out: &mut MaybeUninit<RawOutcome>,
) -> u32 {
    let waker = LentWaker::new(cx.waker());
    // SAFETY: waker and `out` live for this call, RawOutcome is transparent, and the caller vouches for the rest.
    unsafe { poll(data, waker.as_ptr(), out.as_mut_ptr().cast()) }
}

// `Table::read` looks at the size before it knows how long the table is.
const _: () = assert!(offset_of!(ChassisPlugin, struct_size) == 0);

/// Hands bytes over to a plugin, without a copy.
pub(crate) fn owned_bytes(bytes: Bytes) -> OwnedBytes {
    unsafe extern "C" fn release(_: *const u8, _: usize, owner: *mut c_void) {
        // SAFETY: the owner is the box made below, given back once.
        drop(unsafe { Box::from_raw(owner.cast::<Bytes>()) });
    }
    if bytes.is_empty() {
        return OwnedBytes::EMPTY;
    }
    let (ptr, len) = (bytes.as_ptr(), bytes.len());
    OwnedBytes { ptr, len, owner: Box::into_raw(Box::new(bytes)).cast(), release: Some(release) }
}
