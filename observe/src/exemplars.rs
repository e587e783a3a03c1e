//! From a slow call to its span in three steps, as an operator goes: the metric's exemplar, the trace, the plugin's span.

use crate::ask::Asking;
use crate::load::READS;
use crate::stack::{Options, Stack};
use anyhow::{Context, Result, bail};
use chassis_faults::host::Host;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How slow it is made: in a bucket that no other call is in, and within the time that a cache is given for one try.
const SLOW: Duration = Duration::from_millis(200);
/// From the call's end to the span in Jaeger.
const PATIENCE: Duration = Duration::from_secs(15);

/// Walks all six; answers how many came to their span, and what went wrong with the others.
pub async fn run() -> Result<(usize, Vec<String>)> {
    let stack = Stack::start(&Options { shorten: 5, ..Options::default() }).await?;
    let host = stack.host().await?;
    stack.scraped().await?;
    let asking = Asking::new(&host)?;
    let mut lost = Vec::new();
    for (instance, operation, input) in READS {
        let input: Value = serde_json::from_str(input)?;
        if let Err(reason) = hop(&stack, &host, &asking, instance, operation, &input).await {
            lost.push(format!("{instance}: {reason:#}"));
        }
    }
    host.stop().await?;
    Ok((READS.len() - lost.len(), lost))
}

async fn hop(
    stack: &Stack,
    host: &Host,
    asking: &Asking,
    instance: &str,
    operation: &str,
    input: &Value,
) -> Result<()> {
    let latency = format!("{}ms", SLOW.as_millis());
    let fault = json!({ "name": "slow", "kind": "latency", "latency": latency, "instance": instance,
        "operation": operation, "first": 1 });
    host.fault(&fault).await?;
    let answer = asking.call(instance, operation, input).await?;
    host.clear().await?;
    let begun = Instant::now();
    let query = format!("chassis_call_duration_seconds_bucket{{name=\"{instance}\"}}");
    loop {
        // The operator sees a slow dot and follows it; that the dot is this very call is what is proven.
        let dots = stack.prometheus.exemplars(&query).await?;
        let slow = dots.iter().find(|dot| dot.value >= SLOW.as_secs_f64() && dot.instance == instance);
        if let Some(dot) = slow {
            if dot.trace != answer.trace {
                bail!("the slow dot leads to trace {}, and the slow call is in {}", dot.trace, answer.trace);
            }
            let spans = stack.jaeger.stored(&dot.trace).await?;
            let span = spans.iter().find(|span| {
                let is =
                    |name: &str, value: &str| span.attributes.get(name).is_some_and(|text| text == value);
                is("chassis.instance", instance) && is("chassis.operation", operation)
            });
            if let Some(span) = span {
                let took = Duration::from_nanos(span.end - span.start);
                return (took >= SLOW).then_some(()).context("the span is not the slow one");
            }
        }
        if begun.elapsed() > PATIENCE {
            bail!(
                "after {} s: {} dots, {}",
                PATIENCE.as_secs(),
                dots.len(),
                if slow.is_some() { "and no span" } else { "none slow" }
            );
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
