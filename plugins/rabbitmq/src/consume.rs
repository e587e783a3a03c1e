//! Taking messages: as a stream, or one.

use crate::driver::Rabbit;
use crate::error;
use crate::link::{Lease, Link};
use crate::message::{incoming, short};
use crate::receipts::Single;
use chassis_guest::contracts::queue::{Consume, Message, Receive, Received};
use chassis_guest::tokio::sync::oneshot;
use chassis_guest::tokio::time::{sleep, timeout};
use chassis_guest::{Code, Error, Items};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicQosOptions,
};
use lapin::types::{FieldTable, ShortString};
use std::sync::Arc;
use std::time::Duration;

/// Between the end of a consumption and the next look for a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// Streams messages; goes on with the next connection when one is lost.
pub async fn consume(rabbit: &Rabbit, input: Consume, mut items: Items<Message>) -> Result<(), Error> {
    if input.prefetch == 0 {
        return Err(Error::invalid("prefetch", "must be at least 1"));
    }
    let queue = short("queue", input.queue)?;
    let mut link = rabbit.connection.link().await?;
    loop {
        let ended = one_connection(rabbit, &link, &queue, input.prefetch, &mut items).await;
        match ended {
            Err(error) if error.code() != Code::Unavailable => return Err(error),
            _ => sleep(PAUSE).await,
        }
        link = rabbit.connection.up().await?;
    }
}

async fn one_connection(
    rabbit: &Rabbit,
    link: &Arc<Link>,
    queue: &ShortString,
    prefetch: u16,
    items: &mut Items<Message>,
) -> Result<(), Error> {
    let lease = link.lease().await?;
    let mut consumer = subscribe(&lease, queue, prefetch).await?;
    let group = rabbit.receipts.group();
    loop {
        items.ready().await;
        // None: the broker ended it, for the queue is gone; then the next try finds that out.
        let Some(delivery) = consumer.next().await else { return Ok(()) };
        let delivery = delivery.map_err(|error| error::of(&error))?;
        let receipt = group.hold(&delivery);
        items.send(&incoming(delivery, receipt)).await?;
    }
}

async fn subscribe(lease: &Lease, queue: &ShortString, prefetch: u16) -> Result<lapin::Consumer, Error> {
    let qos = lease.channel.basic_qos(prefetch, BasicQosOptions::default());
    qos.await.map_err(|error| error::of(&error))?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = lease.channel.basic_consume(queue.clone(), "".into(), options, arguments);
    consumer.await.map_err(|error| error::of(&error))
}

/// Takes one message, and gives it back unless it is settled in time.
pub async fn receive(rabbit: &Rabbit, input: Receive) -> Result<Received, Error> {
    let queue = short("queue", input.queue)?;
    let lease = rabbit.connection.link().await?.lease().await?;
    let got = lease.channel.basic_get(queue.clone(), BasicGetOptions::default()).await;
    let delivery = match got.map_err(|error| error::of(&error))? {
        Some(message) => Some(message.delivery),
        None if input.wait_ms > 0 => wait(&lease, &queue, Duration::from_millis(input.wait_ms)).await?,
        None => None,
    };
    let Some(delivery) = delivery else {
        lease.give_back();
        return Ok(Received { message: None });
    };
    let (settled, end) = oneshot::channel();
    let receipt = rabbit.receipts.hold(&delivery, Single { lease, _settled: settled });
    let (receipts, late) = (Arc::clone(&rabbit.receipts), receipt.clone());
    rabbit.context.spawn(async move {
        if timeout(Duration::from_millis(input.settle_ms), end).await.is_ok() {
            return;
        }
        if let Some(message) = receipts.take(&late) {
            let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
            // Where the connection is lost, the broker has taken it back already.
            let _ = message.acker.nack(options).await;
            if let Some(single) = message.single {
                single.lease.give_back();
            }
        }
    });
    Ok(Received { message: Some(incoming(delivery, receipt)) })
}

/// Consumes until one message has come.
async fn wait(lease: &Lease, queue: &ShortString, patience: Duration) -> Result<Option<Delivery>, Error> {
    let mut consumer = subscribe(lease, queue, 1).await?;
    let first = timeout(patience, consumer.next()).await;
    let cancelled = lease.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
    cancelled.await.map_err(|error| error::of(&error))?;
    let delivery = match first {
        Ok(delivery) => delivery,
        // What came while it was being cancelled, then the end.
        Err(_) => consumer.next().await,
    };
    delivery.transpose().map_err(|error| error::of(&error))
}
