//! Metrics of the process and of the async runtime, read when somebody asks.

use super::memory;
use super::metrics::Metrics;
use metrics::Gauge;
use metrics_process::Collector;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Reads the metrics of process and runtime.
pub(super) struct Process {
    collector: Collector,
    runtime: Option<Handle>,
    workers: Gauge,
    alive_tasks: Gauge,
    queue_depth: Gauge,
    busy_ratio: Gauge,
    memory_limit: Gauge,
    last: Mutex<(Instant, Duration)>,
}

impl Process {
    pub fn new(metrics: &Metrics) -> Self {
        let collector = Collector::default();
        metrics.scope(|| collector.describe());
        Self {
            collector,
            runtime: Handle::try_current().ok(),
            workers: metrics.gauge("chassis_runtime_workers", Vec::new()),
            alive_tasks: metrics.gauge("chassis_runtime_alive_tasks", Vec::new()),
            queue_depth: metrics.gauge("chassis_runtime_global_queue_depth", Vec::new()),
            busy_ratio: metrics.gauge("chassis_runtime_busy_ratio", Vec::new()),
            memory_limit: metrics.gauge("chassis_memory_limit_bytes", Vec::new()),
            last: Mutex::new((Instant::now(), Duration::ZERO)),
        }
    }

    pub fn collect(&self, metrics: &Metrics) {
        metrics.scope(|| self.collector.collect());
        // It may be changed while the process runs.
        memory::limit().iter().for_each(|limit| self.memory_limit.set(*limit as f64));
        let Some(runtime) = self.runtime.as_ref().map(Handle::metrics) else { return };
        let workers = runtime.num_workers();
        self.workers.set(workers as f64);
        self.alive_tasks.set(runtime.num_alive_tasks() as f64);
        self.queue_depth.set(runtime.global_queue_depth() as f64);
        let busy: Duration = (0..workers).map(|worker| runtime.worker_total_busy_duration(worker)).sum();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let available = last.0.elapsed().as_secs_f64() * workers as f64;
        if available > 0.0 {
            self.busy_ratio.set(busy.saturating_sub(last.1).as_secs_f64() / available);
        }
        *last = (Instant::now(), busy);
    }
}
