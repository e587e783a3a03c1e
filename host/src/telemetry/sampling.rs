//! Which traces are recorded. Decided before anything of a span is built, so that a call that is not recorded costs next to nothing;
//! it still has a trace id, and hands the flag 00 on.

use opentelemetry::trace::{SpanContext, TraceFlags, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, Sampler as SdkSampler};

/// The rule of `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    parent_based: bool,
    ratio: f64,
    /// A trace is recorded when the lower half of its id, shifted right by one, is below.
    bound: u64,
}

impl Sampler {
    /// Records this share of new traces; a trace that comes from elsewhere keeps the decision made there.
    pub fn parent_based(ratio: f64) -> Self {
        Self::new(true, ratio)
    }

    /// Records nothing, whatever a caller decided.
    pub fn never() -> Self {
        Self::new(false, 0.0)
    }

    /// Reads the values of `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
    pub fn parse(name: Option<&str>, argument: Option<&str>) -> Result<Self, String> {
        let ratio = || match argument {
            None | Some("") => Ok(1.0),
            Some(text) => text
                .parse::<f64>()
                .ok()
                .filter(|ratio| (0.0..=1.0).contains(ratio))
                .ok_or(format!("OTEL_TRACES_SAMPLER_ARG is {text:?}: expected a number from 0 to 1")),
        };
        Ok(match name.unwrap_or_default() {
            "" | "parentbased_always_on" => Self::new(true, 1.0),
            "parentbased_always_off" => Self::new(true, 0.0),
            "parentbased_traceidratio" => Self::new(true, ratio()?),
            "always_on" => Self::new(false, 1.0),
            "always_off" => Self::new(false, 0.0),
            "traceidratio" => Self::new(false, ratio()?),
            other => {
                return Err(format!(
                    "OTEL_TRACES_SAMPLER is {other:?}: expected always_on, always_off, traceidratio, or one of these after parentbased_"
                ));
            }
        })
    }

    /// Whether any trace that begins here is recorded.
    pub fn begins(&self) -> bool {
        self.bound > 0
    }

    /// The context of a new span below `parent`; a parent that is not valid starts a trace.
    pub fn child(&self, parent: &SpanContext) -> SpanContext {
        let ids = RandomIdGenerator::default();
        if !parent.is_valid() {
            let trace = ids.new_trace_id();
            return SpanContext::new(trace, ids.new_span_id(), self.flags(trace), false, Default::default());
        }
        let flags = if self.parent_based {
            parent.trace_flags() & TraceFlags::SAMPLED
        } else {
            self.flags(parent.trace_id())
        };
        SpanContext::new(parent.trace_id(), ids.new_span_id(), flags, false, parent.trace_state().clone())
    }

    /// The context of the first span of a trace that is recorded, or not.
    pub fn root(&self, recorded: bool) -> SpanContext {
        let ids = RandomIdGenerator::default();
        let flags = if recorded { TraceFlags::SAMPLED } else { TraceFlags::default() };
        SpanContext::new(ids.new_trace_id(), ids.new_span_id(), flags, false, Default::default())
    }

    /// The context of another span of the same trace, beside this one.
    pub fn sibling(&self, of: &SpanContext) -> SpanContext {
        let id = RandomIdGenerator::default().new_span_id();
        SpanContext::new(of.trace_id(), id, of.trace_flags(), false, of.trace_state().clone())
    }

    /// The same rule for spans that the SDK makes (those of the `tracing` facade).
    pub fn for_sdk(&self) -> SdkSampler {
        let root = SdkSampler::TraceIdRatioBased(self.ratio);
        if self.parent_based { SdkSampler::ParentBased(Box::new(root)) } else { root }
    }

    fn new(parent_based: bool, ratio: f64) -> Self {
        let bound = if ratio >= 1.0 { u64::MAX } else { (ratio * (1u64 << 63) as f64) as u64 };
        Self { parent_based, ratio, bound }
    }

    fn flags(&self, trace: TraceId) -> TraceFlags {
        let [.., a, b, c, d, e, f, g, h] = trace.to_bytes();
        let low = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        if low >> 1 < self.bound { TraceFlags::SAMPLED } else { TraceFlags::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{SpanId, SpanKind};
    use opentelemetry_sdk::trace::{SamplingDecision, ShouldSample};

    fn parent(flags: TraceFlags) -> SpanContext {
        SpanContext::new(TraceId::from(7), SpanId::from(9), flags, true, Default::default())
    }

    #[test]
    fn parents_decide_and_ids_are_handed_on() {
        let sampler = Sampler::parent_based(0.0);
        let child = sampler.child(&parent(TraceFlags::SAMPLED));
        assert!(child.is_sampled());
        assert_eq!(child.trace_id(), TraceId::from(7));
        assert_ne!(child.span_id(), SpanId::from(9));
        assert!(!Sampler::parent_based(1.0).child(&parent(TraceFlags::default())).is_sampled());
    }

    #[test]
    fn a_trace_that_is_not_recorded_still_has_ids() {
        let context = Sampler::parent_based(0.0).child(&SpanContext::NONE);
        assert!(context.is_valid());
        assert!(!context.is_sampled());
    }

    #[test]
    fn the_ratio_decides_as_the_sdk_does() {
        let sampler = Sampler::parent_based(0.1);
        let sdk = sampler.for_sdk();
        let mut recorded = 0;
        for _ in 0..10_000 {
            let context = sampler.child(&SpanContext::NONE);
            let theirs = sdk.should_sample(None, context.trace_id(), "", &SpanKind::Internal, &[], &[]);
            assert_eq!(theirs.decision == SamplingDecision::RecordAndSample, context.is_sampled());
            recorded += u32::from(context.is_sampled());
        }
        assert!((700..1_300).contains(&recorded), "{recorded} of 10,000");
    }

    #[test]
    fn the_standard_variables_are_read() {
        assert_eq!(Sampler::parse(None, None), Ok(Sampler::parent_based(1.0)));
        assert_eq!(
            Sampler::parse(Some("parentbased_traceidratio"), Some("0.25")),
            Ok(Sampler::parent_based(0.25))
        );
        assert_eq!(Sampler::parse(Some("always_off"), None), Ok(Sampler::never()));
        assert!(Sampler::parse(Some("traceidratio"), Some("2")).unwrap_err().contains("0 to 1"));
        assert!(Sampler::parse(Some("sometimes"), None).unwrap_err().contains("parentbased_"));
    }
}
