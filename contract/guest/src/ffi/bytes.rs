//! Bytes across the boundary: the only file of the SDK that makes slices and vectors of raw pointers.

use chassis_abi::{ChassisOutcome, HostBytes, OwnedBytes, PluginBytes};
use std::ffi::c_void;

/// The bytes that the host lends.
pub(crate) fn bytes(lent: &HostBytes) -> &[u8] {
    if lent.ptr.is_null() || lent.len == 0 {
        return &[];
    }
    // SAFETY: HostBytes are valid as long as what they came with, which `lent` is part of.
    unsafe { std::slice::from_raw_parts(lent.ptr, lent.len) }
}

/// Lends text for one call of the host's table.
pub(super) fn lend(text: &str) -> PluginBytes {
    PluginBytes { ptr: text.as_ptr(), len: text.len() }
}

/// Hands bytes over.
pub(super) fn owned(bytes: Vec<u8>) -> OwnedBytes {
    let mut bytes = std::mem::ManuallyDrop::new(bytes);
    // The capacity goes along as the owner's word, so that nothing is moved to shrink.
    OwnedBytes {
        ptr: bytes.as_mut_ptr(),
        len: bytes.len(),
        owner: bytes.capacity() as *mut c_void,
        release: Some(release),
    }
}

unsafe extern "C" fn release(ptr: *const u8, len: usize, capacity: *mut c_void) {
    // SAFETY: the three are of a Vec that `owned` took apart, and given back once.
    drop(unsafe { Vec::from_raw_parts(ptr.cast_mut(), len, capacity as usize) });
}

/// What was handed over by the other side, copied and given back.
pub(crate) fn take_owned(owned: OwnedBytes) -> Vec<u8> {
    let copy = if owned.ptr.is_null() || owned.len == 0 {
        Vec::new()
    } else {
        // SAFETY: handed over and not yet released.
        unsafe { std::slice::from_raw_parts(owned.ptr, owned.len) }.to_vec()
    };
    if let Some(release) = owned.release {
        // SAFETY: released once, by who received it.
        unsafe { release(owned.ptr, owned.len, owned.owner) };
    }
    copy
}

/// Frees an outcome that nobody wants.
pub(crate) fn discard(outcome: ChassisOutcome) {
    for owned in [outcome.json, outcome.raw] {
        if let Some(release) = owned.release {
            // SAFETY: released once, by who holds it.
            unsafe { release(owned.ptr, owned.len, owned.owner) };
        }
    }
    super::stream::drop_stream_of_host(outcome.stream);
}
