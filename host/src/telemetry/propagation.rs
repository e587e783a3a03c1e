//! W3C trace context, as it crosses a header or the boundary.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use std::str::FromStr;
use std::sync::Arc;

/// The span that `traceparent` names; [`SpanContext::NONE`] when there is none or it is malformed (a new trace begins then).
pub fn parse(traceparent: &str, tracestate: Option<&str>) -> SpanContext {
    parse_parent(traceparent).map_or(SpanContext::NONE, |(trace, span, flags)| {
        // A malformed tracestate is dropped; the trace goes on without it.
        let state = tracestate.and_then(|text| TraceState::from_str(text).ok()).unwrap_or_default();
        SpanContext::new(trace, span, flags, true, state)
    })
}

/// `traceparent` of a span.
pub fn traceparent(context: &SpanContext) -> Arc<str> {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    hex(&context.trace_id().to_bytes(), &mut text[3..35]);
    hex(&context.span_id().to_bytes(), &mut text[36..52]);
    hex(&[context.trace_flags().to_u8()], &mut text[53..55]);
    // The bytes are ASCII by construction.
    Arc::from(std::str::from_utf8(&text).unwrap_or_default())
}

/// `tracestate` of a span, if it has one.
pub fn tracestate(context: &SpanContext) -> Option<Arc<str>> {
    if *context.trace_state() == TraceState::NONE {
        return None;
    }
    Some(Arc::from(context.trace_state().header())).filter(|text: &Arc<str>| !text.is_empty())
}

fn parse_parent(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let mut parts = text.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths = version.len() == 2 && trace.len() == 32 && span.len() == 16 && flags.len() == 2;
    let lower = text.bytes().all(|byte| !byte.is_ascii_uppercase());
    // Version 00 has four parts; a later one may have more.
    if !lengths || !lower || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    u8::from_str_radix(version, 16).ok()?;
    let flags = u8::from_str_radix(flags, 16).ok()?;
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let valid = trace != TraceId::INVALID && span != SpanId::INVALID;
    valid.then(|| (trace, span, TraceFlags::new(flags) & TraceFlags::SAMPLED))
}

fn hex(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn goes_there_and_back() {
        let context = parse(PARENT, Some("vendor=1"));
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(&*traceparent(&context), PARENT);
        assert_eq!(tracestate(&context).as_deref(), Some("vendor=1"));
        assert_eq!(tracestate(&parse(PARENT, None)), None);
    }

    #[test]
    fn what_is_malformed_starts_a_new_trace() {
        for text in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-011",
        ] {
            assert!(!parse(text, None).is_valid(), "{text}");
        }
        assert!(parse("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", None).is_valid());
    }
}
