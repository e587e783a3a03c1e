//! The layout of every struct of the boundary, asserted while compiling, and its hash.

use crate::{
    ChassisCall, ChassisFuture, ChassisHost, ChassisIo, ChassisOutcome, ChassisPlugin, ChassisStream,
    ChassisTask, ChassisWaker, ChassisWakerVtable, HostBytes, OwnedBytes, PluginBytes,
};
use std::mem::{offset_of, size_of};

/// FNV-1a (64 bits) over struct sizes and field offsets, in the order below. A plugin carries the hash of the boundary it was
/// compiled against; the loader knows the one of every minor.
pub const LAYOUT_HASH: u64 = HASH;

const fn fnv(mut hash: u64, value: usize) -> u64 {
    let bytes = (value as u64).to_le_bytes();
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        i += 1;
    }
    hash
}

macro_rules! layouts {
    ($($ty:ident = $size:literal { $($field:ident @ $at:literal),* $(,)? })*) => {
        $(const _: () = {
            assert!(size_of::<$ty>() == $size, concat!("size of ", stringify!($ty)));
            $(assert!(offset_of!($ty, $field) == $at, concat!(stringify!($ty), ".", stringify!($field)));)*
        };)*
        const HASH: u64 = {
            let mut hash = 0xcbf2_9ce4_8422_2325;
            $(hash = fnv(hash, size_of::<$ty>()); $(hash = fnv(hash, offset_of!($ty, $field));)*)*
            hash
        };
    };
}

#[cfg(target_pointer_width = "64")]
layouts! {
    ChassisPlugin = 56 { struct_size @ 0, abi_major @ 4, abi_minor @ 6, manifest @ 8, create @ 24, call @ 32, close @ 40, destroy @ 48 }
    ChassisCall = 144 {
        struct_size @ 0, operation @ 4, json @ 8, raw @ 24, traceparent @ 40, tracestate @ 56, idempotency_key @ 72,
        tenant @ 88, deadline_unix_ns @ 104, upload @ 112,
    }
    ChassisOutcome = 104 { code @ 0, flags @ 4, json @ 8, raw @ 40, stream @ 72 }
    ChassisFuture = 24 { data @ 0, poll @ 8, drop @ 16 }
    ChassisStream = 32 { data @ 0, poll_next @ 8, grant @ 16, drop @ 24 }
    HostBytes = 16 { ptr @ 0, len @ 8 }
    PluginBytes = 16 { ptr @ 0, len @ 8 }
    OwnedBytes = 32 { ptr @ 0, len @ 8, owner @ 16, release @ 24 }
    ChassisWaker = 8 { vtable @ 0 }
    ChassisWakerVtable = 32 { clone @ 0, wake @ 8, wake_by_ref @ 16, drop @ 24 }
    ChassisHost = 120 {
        struct_size @ 0, abi_major @ 4, abi_minor @ 6, ctx @ 8, instance @ 16, log_level @ 32, log @ 40, spawn @ 48,
        connect @ 56, span_start @ 64, span_attributes @ 72, span_link @ 80, span_end @ 88, metric_register @ 96,
        metric_record @ 104, allocated @ 112,
    }
    ChassisTask = 16 { data @ 0, abort @ 8 }
    ChassisIo = 48 { data @ 0, poll_read @ 8, poll_write @ 16, poll_flush @ 24, poll_shutdown @ 32, drop @ 40 }
}

#[cfg(test)]
mod tests {
    /// A changed number here means a changed boundary: that needs a new minor (slots appended) or a new major.
    #[test]
    fn the_layout_is_the_published_one() {
        assert_eq!(super::LAYOUT_HASH, crate::manifest::layout_hash_of_minor(0).unwrap());
    }
}
