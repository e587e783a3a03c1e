//! Taking published messages back, for which AMQP has no word: a queue is looked through, what is wanted is acknowledged, and the rest
//! is put back to where it was.
//!
//! What one looks at, another does not find. So one looks for all who want something of a queue meanwhile, and between instances and
//! hosts a queue that only one connection can have says whose turn it is.

use crate::connection::Connection;
use crate::error;
use crate::link::{Lease, Link};
use crate::message::{self, short};
use chassis_guest::contracts::queue::{Retract, Retracted};
use chassis_guest::tokio::sync::oneshot;
use chassis_guest::tokio::time::{Instant, sleep, timeout};
use chassis_guest::{Code, Context, Error};
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions,
    BasicQosOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, ErrorKind};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A broker that has more to show is not silent for so long, or is asked.
const SILENCE: Duration = Duration::from_millis(200);
/// Between two attempts to have one's turn, and how long they are made.
const PAUSE: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(10);
/// What a host that died was looking at is put back a moment after its turn is over.
const MOMENT: Duration = Duration::from_millis(50);
/// A name is at most 255 bytes long. Queues that are alike so far wait for each other.
const NAME: usize = 200;

/// Who wants what of which queue, and is not looked for yet. A queue that is here has somebody who looks.
#[derive(Default)]
pub struct Retracts(Mutex<HashMap<String, Vec<Wanted>>>);

struct Wanted {
    message_id: String,
    answer: oneshot::Sender<Result<u64, Error>>,
}

/// How many messages of each id were taken back. Every id is in it that is looked for.
type Found = HashMap<String, u64>;

impl Retracts {
    /// Takes a message back. Who asks may leave: that it is looked for stays.
    pub async fn ask(
        self: &Arc<Self>,
        context: &Context,
        connection: &Arc<Connection>,
        input: Retract,
    ) -> Result<Retracted, Error> {
        let queue = short("queue", &*input.queue)?;
        let (answer, answered) = oneshot::channel();
        let wanted = Wanted { message_id: input.message_id, answer };
        let somebody_looks = {
            let mut waiting = self.waiting();
            let somebody_looks = waiting.contains_key(&input.queue);
            waiting.entry(input.queue.clone()).or_default().push(wanted);
            somebody_looks
        };
        if !somebody_looks {
            let (retracts, connection) = (Arc::clone(self), Arc::clone(connection));
            context.spawn(async move { retracts.look_for_all(&connection, &queue, &input.queue).await });
        }
        let retracted =
            answered.await.unwrap_or_else(|_| Err(Error::unavailable("the instance is closed")))?;
        Ok(Retracted { retracted })
    }

    /// Looks through a queue until nobody wants anything of it.
    async fn look_for_all(&self, connection: &Connection, queue: &ShortString, name: &str) {
        loop {
            let wanted = {
                let mut waiting = self.waiting();
                let wanted = waiting.get_mut(name).map(std::mem::take).unwrap_or_default();
                if wanted.is_empty() {
                    waiting.remove(name);
                    return;
                }
                wanted
            };
            let mut found: Found = wanted.iter().map(|wanted| (wanted.message_id.clone(), 0)).collect();
            let looked = take_turn(connection, queue, &mut found).await;
            for wanted in wanted {
                // Of two who want the same, one has taken it back.
                let count = found.remove(&wanted.message_id).unwrap_or_default();
                let _ = wanted.answer.send(looked.clone().map(|()| count));
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Vec<Wanted>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks while no other connection does.
async fn take_turn(connection: &Connection, queue: &ShortString, found: &mut Found) -> Result<(), Error> {
    let link = connection.link().await?;
    let turn: String = queue.as_str().chars().scan(0, within).collect();
    let turn = short("queue", format!("chassis.retract.{turn}"))?;
    let (lease, waited) = wait_for(&link, &turn).await?;
    let mut looked = look(&link, queue, found).await;
    if looked.is_ok() && waited && found.values().any(|count| *count == 0) {
        sleep(MOMENT).await;
        looked = look(&link, queue, found).await;
    }
    let deleted = lease.channel.queue_delete(turn, QueueDeleteOptions::default()).await;
    // Of a connection that is lost, the turn is over anyway.
    if deleted.is_ok() {
        lease.give_back();
    }
    looked
}

fn within(bytes: &mut usize, one: char) -> Option<char> {
    *bytes += one.len_utf8();
    (*bytes <= NAME).then_some(one)
}

/// Makes the queue that is this connection's alone; says whether another had it before.
async fn wait_for(link: &Arc<Link>, turn: &ShortString) -> Result<(Lease, bool), Error> {
    let begun = Instant::now();
    let mut waited = false;
    loop {
        let lease = link.lease().await?;
        let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let declared = lease.channel.queue_declare(turn.clone(), exclusive, FieldTable::default()).await;
        let Err(refused) = declared else { return Ok((lease, waited)) };
        // 405: it is another connection's. Any other refusal stays one.
        if !matches!(refused.kind(), ErrorKind::ProtocolError(said) if said.get_id() == 405) {
            return Err(error::of(&refused));
        }
        waited = true;
        if begun.elapsed() > PATIENCE {
            let message = "others look through the queue for messages to take back, one after the other";
            return Err(Error::new(Code::Aborted, message).retryable(true));
        }
        sleep(PAUSE).await;
    }
}

/// Goes through a queue as far as it was filled at the beginning: what comes later was not yet there to be wanted.
async fn look(link: &Arc<Link>, queue: &ShortString, found: &mut Found) -> Result<(), Error> {
    let lease = link.lease().await?;
    let first = lease.channel.basic_get(queue.clone(), BasicGetOptions::default()).await;
    if let Some(first) = first.map_err(|error| error::of(&error))? {
        judge(&first.delivery, found).await?;
        // With a message comes the number of those behind it. It is the queue's own count; other questions overtake what is put back.
        if first.message_count > 0 {
            look_on(&lease.channel, queue, first.message_count, found).await?;
        }
        // Tag 0: all that is unsettled on this channel. Each goes back to its old place.
        let back = lease.channel.basic_nack(0, BasicNackOptions { multiple: true, requeue: true });
        back.await.map_err(|error| error::sent(&error))?;
    }
    answered(&lease.channel).await?;
    lease.give_back();
    Ok(())
}

/// Looks at so many messages, or as many as there are. They come in one go, as each alone would take as long as the way to the broker.
async fn look_on(channel: &Channel, queue: &ShortString, count: u32, found: &mut Found) -> Result<(), Error> {
    // A channel out of the pool may have a limit.
    answered(channel).await?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(queue.clone(), "".into(), options, arguments);
    let mut consumer = consumer.await.map_err(|error| error::of(&error))?;
    for _ in 0..count {
        let delivery = match timeout(SILENCE, consumer.next()).await {
            Ok(delivery) => delivery,
            // Others have taken some of those that were counted; or the broker is slow.
            Err(_) => match channel.basic_get(queue.clone(), BasicGetOptions::default()).await {
                Ok(Some(message)) => Some(Ok(message.delivery)),
                Ok(None) => {
                    answered(channel).await?;
                    consumer.next().now_or_never().flatten()
                }
                Err(error) => Some(Err(error)),
            },
        };
        // None: that was all, or the queue was deleted.
        let Some(delivery) = delivery else { break };
        judge(&delivery.map_err(|error| error::of(&error))?, found).await?;
    }
    let cancelled = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
    cancelled.await.map_err(|error| error::sent(&error))
}

/// Takes a message back if it is wanted.
async fn judge(delivery: &Delivery, found: &mut Found) -> Result<(), Error> {
    let Some(count) = message::id(delivery).and_then(|id| found.get_mut(&id)) else { return Ok(()) };
    delivery.acker.ack(BasicAckOptions::default()).await.map_err(|error| error::sent(&error))?;
    *count += 1;
    Ok(())
}

/// Sets no limit to what comes unsettled. The answer says that the broker has seen all that went before, and sent all that it had.
async fn answered(channel: &Channel) -> Result<(), Error> {
    let seen = channel.basic_qos(0, BasicQosOptions::default());
    seen.await.map_err(|error| error::sent(&error))
}
