//! The contract `queue`.

use crate::driver::Rabbit;
use crate::link::Lease;
use crate::message::{Outgoing, short};
use crate::{consume, error, publish};
use chassis_guest::contracts::queue::{
    Consume, Declare, Depth, Message, Nack, Publish, Published, Purged, Queue, QueueKind, QueueName, Receipt,
    Receive, Received, Retract, Retracted, Settled,
};
use chassis_guest::contracts::{Batch, BatchOutput, Origin};
use chassis_guest::{Call, Code, Error, Items};
use lapin::options::{
    BasicAckOptions, BasicNackOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use std::collections::BTreeMap;

impl Queue for Rabbit {
    async fn declare(&self, _: Call<'_>, input: Declare) -> Result<Depth, Error> {
        if input.queue.is_empty() {
            return Err(Error::invalid("queue", "must not be empty"));
        }
        let mut arguments = FieldTable::default();
        if input.kind == QueueKind::Quorum {
            arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        }
        if let Some(dead_letter) = input.dead_letter {
            self.declare_dead_letter(&dead_letter).await?;
            arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
            arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(dead_letter.into()));
            if input.kind == QueueKind::Quorum {
                let limit = i64::from(self.config.delivery_limit);
                arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(limit));
            }
        }
        let lease = self.lease().await?;
        declare(lease, &input.queue, QueueDeclareOptions::durable(), arguments).await
    }

    async fn publish(&self, call: Call<'_>, input: Publish) -> Result<Published, Error> {
        let message = Outgoing::new(input, &Origin::of(call))?;
        let mut results = publish::publish(&self.connection.link().await?, vec![message]).await;
        results.pop().unwrap_or_else(|| Err(Error::internal("no result of a message")))
    }

    async fn publish_many(
        &self,
        call: Call<'_>,
        input: Batch<Publish>,
    ) -> Result<BatchOutput<Published>, Error> {
        let link = self.connection.link().await?;
        let mut results = BTreeMap::new();
        // An exchange that is not there ends the channel: each one has its own.
        let mut exchanges = BTreeMap::<String, (Vec<usize>, Vec<Outgoing>)>::new();
        for (at, (item, origin)) in input.into_items(call).enumerate() {
            match Outgoing::new(item, &origin) {
                Ok(message) => {
                    let (places, messages) = exchanges.entry(message.exchange.to_string()).or_default();
                    places.push(at);
                    messages.push(message);
                }
                Err(error) => drop(results.insert(at, Err(error))),
            }
        }
        for (places, messages) in exchanges.into_values() {
            results.extend(places.into_iter().zip(publish::publish(&link, messages).await));
        }
        Ok(results.into_values().collect())
    }

    async fn consume(&self, _: Call<'_>, input: Consume, items: Items<Message>) -> Result<(), Error> {
        consume::consume(self, input, items).await
    }

    async fn receive(&self, _: Call<'_>, input: Receive) -> Result<Received, Error> {
        consume::receive(self, input).await
    }

    async fn ack(&self, _: Call<'_>, input: Receipt) -> Result<Settled, Error> {
        let Some(message) = self.receipts.take(&input.receipt) else { return Ok(Settled { settled: false }) };
        let done = message.acker.ack(BasicAckOptions::default()).await;
        settled(done, message.single.map(|single| single.lease))
    }

    async fn nack(&self, _: Call<'_>, input: Nack) -> Result<Settled, Error> {
        let Some(message) = self.receipts.take(&input.receipt) else { return Ok(Settled { settled: false }) };
        let done = message.acker.nack(BasicNackOptions { requeue: input.requeue, multiple: false }).await;
        settled(done, message.single.map(|single| single.lease))
    }

    async fn retract(&self, _: Call<'_>, input: Retract) -> Result<Retracted, Error> {
        self.retracts.ask(&self.context, &self.connection, input).await
    }

    async fn depth(&self, _: Call<'_>, input: QueueName) -> Result<Depth, Error> {
        let passive = QueueDeclareOptions::default().passive();
        declare(self.lease().await?, &input.queue, passive, FieldTable::default()).await
    }

    async fn purge(&self, _: Call<'_>, input: QueueName) -> Result<Purged, Error> {
        let lease = self.lease().await?;
        let queue = short("queue", input.queue)?;
        let purged = lease.channel.queue_purge(queue, QueuePurgeOptions::default()).await;
        let purged = purged.map_err(|error| error::sent(&error))?.into();
        lease.give_back();
        Ok(Purged { purged })
    }

    async fn delete(&self, _: Call<'_>, input: QueueName) -> Result<Purged, Error> {
        let lease = self.lease().await?;
        let queue = short("queue", input.queue)?;
        let purged = lease.channel.queue_delete(queue, QueueDeleteOptions::default()).await;
        let purged = purged.map_err(|error| error::sent(&error))?.into();
        lease.give_back();
        Ok(Purged { purged })
    }
}

impl Rabbit {
    pub(crate) async fn lease(&self) -> Result<Lease, Error> {
        self.connection.link().await?.lease().await
    }

    /// A dead-letter queue that nobody declared would lose what comes to it; one that is there may be of any kind.
    async fn declare_dead_letter(&self, queue: &str) -> Result<(), Error> {
        let passive = QueueDeclareOptions::default().passive();
        match declare(self.lease().await?, queue, passive, FieldTable::default()).await {
            Err(error) if error.code() == Code::NotFound => {
                let durable = QueueDeclareOptions::durable();
                declare(self.lease().await?, queue, durable, FieldTable::default()).await.map(drop)
            }
            found => found.map(drop),
        }
    }
}

async fn declare(
    lease: Lease,
    queue: &str,
    options: QueueDeclareOptions,
    arguments: FieldTable,
) -> Result<Depth, Error> {
    let declared = lease.channel.queue_declare(short("queue", queue)?, options, arguments).await;
    let declared = declared.map_err(|error| error::sent(&error).field("queue"))?;
    let depth =
        Depth { messages: declared.message_count().into(), consumers: declared.consumer_count().into() };
    lease.give_back();
    Ok(depth)
}

fn settled(done: lapin::Result<bool>, lease: Option<Lease>) -> Result<Settled, Error> {
    let settled = done.map_err(|error| error::sent(&error))?;
    if let Some(lease) = lease.filter(|_| settled) {
        lease.give_back();
    }
    Ok(Settled { settled })
}
