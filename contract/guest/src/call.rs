//! What a call brings along besides its input.

use crate::ffi::bytes;
use chassis_abi::{ChassisCall, HostBytes};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The context of a call, lent for as long as the call runs.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    raw: &'a ChassisCall,
}

// SAFETY: the call's memory is only read, and the host keeps it unchanged until the call's future is gone.
unsafe impl Send for Call<'_> {}
// SAFETY: as above.
unsafe impl Sync for Call<'_> {}

impl<'a> Call<'a> {
    pub(crate) fn new(raw: &'a ChassisCall) -> Self {
        Self { raw }
    }

    /// The raw attachment; empty when there is none.
    pub fn raw(&self) -> &'a [u8] {
        bytes(&self.raw.raw)
    }

    /// The key under which a repeated call must not take effect twice.
    pub fn idempotency_key(&self) -> Option<&'a str> {
        text(&self.raw.idempotency_key)
    }

    /// On whose behalf the call is made.
    pub fn tenant(&self) -> Option<&'a str> {
        text(&self.raw.tenant)
    }

    /// W3C `traceparent` of the call's span.
    pub fn traceparent(&self) -> Option<&'a str> {
        text(&self.raw.traceparent)
    }

    /// W3C `tracestate` of the call's span.
    pub fn tracestate(&self) -> Option<&'a str> {
        text(&self.raw.tracestate)
    }

    /// `traceparent` and `tracestate`, as headers for whoever is called next.
    pub fn trace_headers(&self) -> impl Iterator<Item = (&'static str, &'a str)> + use<'a> {
        [("traceparent", self.traceparent()), ("tracestate", self.tracestate())]
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name, value)))
    }

    /// How long the call may still take; `None` means for ever. The host drops a call that is late: this is for servers that
    /// understand deadlines themselves.
    pub fn remaining(&self) -> Option<Duration> {
        let deadline = self.raw.deadline_unix_ns;
        (deadline != 0).then(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Duration::from_nanos(deadline).saturating_sub(now)
        })
    }

    pub(crate) fn json(&self) -> &'a [u8] {
        match bytes(&self.raw.json) {
            [] => b"{}",
            json => json,
        }
    }
}

fn text(lent: &HostBytes) -> Option<&str> {
    match bytes(lent) {
        [] => None,
        bytes => std::str::from_utf8(bytes).ok(),
    }
}
