//! Calls that are gathered into the operation that does many: how one joins, and how the batch is sent.

use super::instance::{Instance, scrubbed};
use crate::config::Secrets;
use crate::error::{CallError, CallFailure};
use crate::policy::coalesce::{Coalesce, Item, Place, Sends};
use crate::request::{Reply, Request};
use bytes::Bytes;
use chassis_abi::manifest::{Effect, Manifest, Operation};
use chassis_loader::Call;
use futures_util::TryFutureExt;
use futures_util::future::BoxFuture;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;
use tokio::time::Instant;

/// How calls of one operation are gathered.
pub(super) struct Gather {
    coalesce: Arc<Coalesce<Sender>>,
    batch: u32,
    /// The batch operation knows what came with each item.
    origins: bool,
}

/// The operation and the one that does many, of one instance.
#[derive(Clone)]
pub(super) struct Sender {
    instance: Arc<Instance>,
    single: u32,
    batch: u32,
}

pin_project! {
    /// One try under way.
    #[project = SentProjection]
    pub(super) enum Sent<'a, F> {
        /// By itself. It has its place as long as it is in flight.
        Alone { #[pin] call: F, place: Option<Place<Sender>>, secrets: &'a Secrets },
        /// With others, or waiting for them; or to a bad end that was asked for.
        Gathered { turn: BoxFuture<'a, Result<Reply, CallFailure>> },
    }
}

impl<'a, F> Sent<'a, F> {
    /// By itself, and to what a fault does to it. Nothing of it may come to others.
    #[cold]
    pub fn faulty(
        instance: &'a Instance,
        call: impl Future<Output = Result<Reply, CallError>> + Send + 'a,
    ) -> Self {
        Self::Gathered { turn: Box::pin(call.map_err(|error| scrubbed(error, instance.secrets()).into())) }
    }
}

impl Gather {
    /// For an operation that another one does many of.
    pub fn new(policy: &crate::policy::Stack, manifest: &Manifest, operation: &Operation) -> Option<Self> {
        let settings = policy.coalesce()?;
        let name = operation.batched_by.as_ref()?;
        let many = |other: &Operation| other.contract == operation.contract && other.name == *name;
        let at = manifest.operations.iter().position(many)?;
        let origins = manifest.operations[at].input.pointer("/properties/origins").is_some();
        Some(Self { coalesce: Coalesce::new(settings), batch: u32::try_from(at).ok()?, origins })
    }

    /// Whether a call can be an item. An attachment has no room in it; nor have a key and a trace, unless the batch operation says so.
    pub fn takes(&self, request: &Request, propagates: bool) -> bool {
        let plain = request.raw.is_empty() && request.upload.is_none();
        plain && (self.origins || (request.context.idempotency_key.is_none() && !propagates))
    }

    /// Sends a call by itself if that is possible at once, else with others.
    pub fn send<'a, F>(
        &self,
        instance: &'a Arc<Instance>,
        single: u32,
        call: Call,
        item: impl FnOnce(&Call) -> Item,
        alone: impl FnOnce(Call) -> F,
    ) -> Sent<'a, F>
    where
        F: Future<Output = Result<Reply, CallError>> + Send + 'static,
    {
        if let Some(place) = self.coalesce.place() {
            return Sent::Alone { call: alone(call), place: Some(place), secrets: instance.secrets() };
        }
        let sender = Sender { instance: instance.clone(), single, batch: self.batch };
        let (item, ours) = (item(&call), sender.clone());
        let alone = alone(call).map_err(move |error| ours.failed(error));
        Sent::Gathered { turn: self.coalesce.join(item, sender, alone) }
    }
}

impl<F: Future<Output = Result<Reply, CallError>>> Future for Sent<'_, F> {
    type Output = Result<Reply, CallFailure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            SentProjection::Alone { call, secrets, .. } => {
                call.poll(cx).map_err(|error| scrubbed(error, secrets).into())
            }
            SentProjection::Gathered { turn } => turn.as_mut().poll(cx),
        }
    }
}

impl Sends for Sender {
    fn batch<'a>(
        &'a self,
        items: &'a [Item],
        json: Bytes,
        deadline: Option<Instant>,
    ) -> BoxFuture<'a, Result<Bytes, CallFailure>> {
        Box::pin(async move {
            let entry = self.instance.entry(self.batch);
            let now = Instant::now();
            let links = items.iter().map(|item| &item.span);
            let span = entry.telemetry.start_gathered(links, &json, now.into_std());
            let traceparent = (entry.propagates || span.context().is_sampled()).then(|| span.traceparent());
            let call = self.instance.boundary().call(Call {
                operation: self.batch,
                json,
                traceparent,
                tenant: items.first().and_then(|item| item.tenant.clone()),
                deadline: deadline.map(|deadline| wall_clock(deadline, now)),
                ..Call::default()
            });
            let call = call.map_err(|error| self.failed(error));
            let mut result = span.scope(call).await;
            span.finish(&mut result);
            Ok(result?.into_bytes().0)
        })
    }

    fn single(&self, item: Item) -> BoxFuture<'static, Result<Reply, CallFailure>> {
        let sender = self.clone();
        Box::pin(async move {
            let call = sender.instance.boundary().call(Call {
                operation: sender.single,
                json: item.json,
                traceparent: item.traceparent,
                tracestate: item.tracestate,
                idempotency_key: item.key,
                tenant: item.tenant,
                deadline: item.deadline.map(|deadline| wall_clock(deadline, Instant::now())),
                ..Call::default()
            });
            call.await.map_err(|error| sender.failed(error))
        })
    }

    fn failed(&self, error: CallError) -> CallFailure {
        scrubbed(error, self.instance.secrets()).into()
    }

    fn may_apply(&self) -> bool {
        self.instance.manifest().operations[self.batch as usize].effect == Effect::Write
    }
}

/// A deadline as a plugin is told it.
pub(super) fn wall_clock(deadline: Instant, now: Instant) -> SystemTime {
    SystemTime::now() + deadline.saturating_duration_since(now)
}
