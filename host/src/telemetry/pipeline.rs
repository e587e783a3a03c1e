//! Where finished spans go: into the memory of recent traces, and to the exporter if there is one. Neither ever makes a call wait;
//! what does not fit is dropped, and counted.

use super::pace::Pace;
use super::recording::Recording;
use super::ring::Ring;
use metrics::Counter;
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfig, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// The way of a finished span.
#[derive(Debug)]
pub struct Pipeline {
    ring: Ring,
    export: Option<Export>,
}

/// The pipeline as the SDK's provider wants it, for spans of the `tracing` facade.
#[derive(Clone, Debug)]
pub struct Processor(pub Arc<Pipeline>);

#[derive(Debug)]
struct Export {
    batch: BatchSpanProcessor,
    /// Spans that were handed over and have not left. The SDK counts what its full queue drops only for itself, so the queue is
    /// never let run full: the limit is applied here, where it can be told.
    waiting: Arc<AtomicUsize>,
    limit: usize,
    pace: Option<Pace>,
    counts: Counts,
    scope: InstrumentationScope,
}

/// How much is exported.
pub struct Limits {
    /// Spans that may wait.
    pub waiting: usize,
    /// Spans a second; 0 for any number.
    pub per_second: u32,
}

/// An exporter that tells what it takes, and what it could not deliver.
#[derive(Debug)]
struct Counted<E> {
    exporter: E,
    waiting: Arc<AtomicUsize>,
    counts: Counts,
    failing: AtomicBool,
}

/// What becomes of spans that are to be exported.
#[derive(Clone)]
pub struct Counts {
    /// `chassis_spans_dropped_total`
    pub dropped: Counter,
    /// `chassis_spans_exported_total`
    pub exported: Counter,
}

impl Pipeline {
    /// A pipeline into memory only.
    pub fn new(ring: Ring) -> Self {
        Self { ring, export: None }
    }

    /// The same, and to `exporter`, in batches.
    pub fn exporting<E>(
        self,
        exporter: E,
        config: BatchConfig,
        limits: Limits,
        counts: Counts,
        scope: InstrumentationScope,
    ) -> Self
    where
        E: SpanExporter + 'static,
    {
        let waiting = Arc::new(AtomicUsize::new(0));
        let counted =
            Counted { exporter, waiting: waiting.clone(), counts: counts.clone(), failing: false.into() };
        let batch = BatchSpanProcessor::new(counted, config);
        let pace = (limits.per_second > 0).then(|| Pace::new(limits.per_second, SystemTime::now()));
        Self { export: Some(Export { batch, waiting, limit: limits.waiting, pace, counts, scope }), ..self }
    }

    /// Recent traces.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Takes a finished span. Only one that is exported is put together here.
    pub fn finished(&self, span: Box<Recording>) {
        if let Some(export) = &self.export
            && export.takes(&span)
        {
            export.batch.on_end(span.to_data(&export.scope));
        }
        self.ring.push(span);
    }

    /// The same, of a span that the SDK made.
    fn finished_elsewhere(&self, span: SpanData) {
        let kept = Box::new(Recording::from(&span));
        if let Some(export) = &self.export
            && export.takes(&kept)
        {
            export.batch.on_end(span);
        }
        self.ring.push(kept);
    }

    /// Sends what waits. Blocks, at most 5 s.
    pub fn flush(&self) -> OTelSdkResult {
        self.export.as_ref().map_or(Ok(()), |export| export.batch.force_flush())
    }

    /// Sends what waits, then stops. Blocks, at most `timeout`.
    pub fn shutdown(&self, timeout: Duration) -> OTelSdkResult {
        self.export.as_ref().map_or(Ok(()), |export| export.batch.shutdown_with_timeout(timeout))
    }
}

impl Export {
    /// Whether a span is exported, and has its place in the queue; one that is not is counted.
    fn takes(&self, span: &Recording) -> bool {
        let in_time = self.pace.as_ref().is_none_or(|pace| pace.admits(span.end()));
        if in_time && self.waiting.fetch_add(1, Ordering::Relaxed) < self.limit {
            return true;
        }
        if in_time {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        self.counts.dropped.increment(1);
        false
    }
}

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.0.finished_elsewhere(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown(timeout)
    }
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let taken = batch.len();
        self.waiting.fetch_sub(taken, Ordering::Relaxed);
        let result = self.exporter.export(batch).await;
        let failed = result.as_ref().err();
        let Counts { dropped, exported } = &self.counts;
        if failed.is_some() { dropped } else { exported }.increment(taken as u64);
        // Told when it begins and when it is over; the counter says how much was lost.
        match (failed, self.failing.swap(failed.is_some(), Ordering::Relaxed)) {
            (Some(error), false) => tracing::warn!(%error, "spans cannot be sent, and are dropped"),
            (None, true) => tracing::info!("spans are sent again"),
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl std::fmt::Debug for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counts")
    }
}
