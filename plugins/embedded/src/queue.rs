//! `queue`: a table of messages. Who takes a message gets a receipt, and the message is out of sight until it is settled or its
//! time is over.

mod consumers;
mod messages;

pub(crate) use consumers::Consumers;

use crate::cache::now;
use crate::driver::Embedded;
use crate::ops::Part;
use chassis_guest::contracts::queue::{
    Consume, Declare, Depth, Message, Nack, Publish, Published, Purged, Queue, QueueKind, QueueName, Receipt,
    Receive, Received, Retract, Retracted, Settled,
};
use chassis_guest::contracts::{Batch, BatchOutput, Origin};
use chassis_guest::tokio::time::{Instant, sleep, timeout};
use chassis_guest::{Call, Code, Error, Items};
use messages::{check_queue, claim, dead, publish, released};
use std::time::Duration;

pub(crate) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS chassis_queues (name TEXT PRIMARY KEY, kind TEXT NOT NULL, dead_letter TEXT)",
    "CREATE TABLE IF NOT EXISTS chassis_messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, body TEXT NOT NULL, headers TEXT NOT NULL,
        message_id TEXT, exchange TEXT NOT NULL, routing_key TEXT NOT NULL, deliveries INTEGER NOT NULL DEFAULT 0,
        visible_ms INTEGER NOT NULL DEFAULT 0, receipt TEXT UNIQUE, owner TEXT)",
    "CREATE INDEX IF NOT EXISTS chassis_messages_order ON chassis_messages (queue, id)",
    "CREATE INDEX IF NOT EXISTS chassis_messages_owner ON chassis_messages (owner) WHERE owner IS NOT NULL",
];

impl Queue for Embedded {
    async fn declare(&self, _: Call<'_>, input: Declare) -> Result<Depth, Error> {
        if input.queue.is_empty() {
            return Err(Error::invalid("queue", "must not be empty"));
        }
        let kind = if input.kind == QueueKind::Quorum { "quorum" } else { "classic" };
        let mut db = self.store.begin(Part::Queue).await?;
        let insert = "INSERT INTO chassis_queues (name, kind, dead_letter) VALUES ($1, $2, $3)
            ON CONFLICT (name) DO UPDATE SET name = name WHERE kind = $2 AND dead_letter IS $3";
        let done =
            db.done(sqlx::query(insert).bind(&input.queue).bind(kind).bind(&input.dead_letter)).await?;
        if done.changed == 0 {
            let message = format!("queue `{}` is there already, and declared otherwise", input.queue);
            return Err(Error::new(Code::FailedPrecondition, message).field("queue"));
        }
        if let Some(dead_letter) = &input.dead_letter {
            // A dead-letter queue that nobody declared would lose what comes to it.
            let insert =
                "INSERT INTO chassis_queues (name, kind) VALUES (?, 'classic') ON CONFLICT DO NOTHING";
            db.done(sqlx::query(insert).bind(dead_letter)).await?;
        }
        db.commit().await?;
        self.waiting(&input.queue).await
    }

    async fn publish(&self, call: Call<'_>, input: Publish) -> Result<Published, Error> {
        let mut db = self.store.begin(Part::Queue).await?;
        let published = publish(&mut db, input, Origin::of(call)).await?;
        db.commit().await.map_err(Error::maybe_applied)?;
        self.consumers.wake();
        Ok(published)
    }

    async fn publish_many(
        &self,
        call: Call<'_>,
        input: Batch<Publish>,
    ) -> Result<BatchOutput<Published>, Error> {
        let mut db = self.store.begin(Part::Queue).await?;
        let mut results = Vec::with_capacity(input.items.len());
        for (item, origin) in input.into_items(call) {
            results.push(publish(&mut db, item, origin).await);
        }
        db.commit().await.map_err(Error::maybe_applied)?;
        self.consumers.wake();
        Ok(results.into_iter().collect())
    }

    async fn consume(&self, _: Call<'_>, input: Consume, mut items: Items<Message>) -> Result<(), Error> {
        let consumer = self.consumers.join(&input.queue, input.prefetch.max(1));
        let mut news = self.consumers.news();
        loop {
            // Taken only when it can be passed on: what lies here is seen by no other consumer.
            items.ready().await;
            news.borrow_and_update();
            match consumer.next().await {
                Ok(Some(message)) => items.send(&message).await?,
                // Its own process tells of news; another one's messages are found by looking, and so is a file that is back.
                Ok(None) => drop(timeout(self.poll(), news.changed()).await),
                Err(error) if error.code() == Code::Unavailable => sleep(self.poll()).await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn receive(&self, _: Call<'_>, input: Receive) -> Result<Received, Error> {
        check_queue(&mut self.store.read(Part::Queue).await?, &input.queue).await?;
        let end = Instant::now() + Duration::from_millis(input.wait_ms);
        let mut news = self.consumers.news();
        loop {
            news.borrow_and_update();
            let settle = i64::try_from(input.settle_ms).unwrap_or(i64::MAX);
            let until = now().saturating_add(settle);
            let message = claim(&mut self.store.write(Part::Queue).await?, &input.queue, until, None).await?;
            let left = end.saturating_duration_since(Instant::now());
            if message.is_some() || left.is_zero() {
                return Ok(Received { message });
            }
            let _ = timeout(left.min(self.poll()), news.changed()).await;
        }
    }

    async fn ack(&self, _: Call<'_>, input: Receipt) -> Result<Settled, Error> {
        let delete = "DELETE FROM chassis_messages WHERE receipt = ? AND visible_ms > ?";
        let mut db = self.store.write(Part::Queue).await?;
        let done = db.done(sqlx::query(delete).bind(&input.receipt).bind(now())).await?;
        drop(db);
        Ok(self.settled(done.changed))
    }

    async fn nack(&self, _: Call<'_>, input: Nack) -> Result<Settled, Error> {
        let mut db = self.store.begin(Part::Queue).await?;
        let limit = i64::from(self.config.delivery_limit);
        let over = "SELECT 1 FROM chassis_messages m JOIN chassis_queues q ON q.name = m.queue
            WHERE m.receipt = ? AND q.kind = 'quorum' AND m.deliveries >= ?";
        let over = db.first(sqlx::query(over).bind(&input.receipt).bind(limit)).await?.is_some();
        let changed = if input.requeue && !over {
            released(&mut db, "receipt", &input.receipt).await?
        } else {
            dead(&mut db, &input.receipt, if over { "delivery_limit" } else { "rejected" }).await?
        };
        db.commit().await?;
        Ok(self.settled(changed))
    }

    async fn retract(&self, _: Call<'_>, input: Retract) -> Result<Retracted, Error> {
        let delete = "DELETE FROM chassis_messages WHERE queue = ? AND message_id = ? AND visible_ms <= ?";
        let mut db = self.store.write(Part::Queue).await?;
        let query = sqlx::query(delete).bind(input.queue).bind(input.message_id).bind(now());
        Ok(Retracted { retracted: db.done(query).await?.changed })
    }

    async fn depth(&self, _: Call<'_>, input: QueueName) -> Result<Depth, Error> {
        check_queue(&mut self.store.read(Part::Queue).await?, &input.queue).await?;
        self.waiting(&input.queue).await
    }

    async fn purge(&self, _: Call<'_>, input: QueueName) -> Result<Purged, Error> {
        let mut db = self.store.write(Part::Queue).await?;
        check_queue(&mut db, &input.queue).await?;
        let delete = "DELETE FROM chassis_messages WHERE queue = ? AND visible_ms <= ?";
        let done = db.done(sqlx::query(delete).bind(input.queue).bind(now())).await?;
        Ok(Purged { purged: done.changed })
    }

    async fn delete(&self, _: Call<'_>, input: QueueName) -> Result<Purged, Error> {
        let mut db = self.store.begin(Part::Queue).await?;
        let delete = "DELETE FROM chassis_messages WHERE queue = ?";
        let purged = db.done(sqlx::query(delete).bind(&input.queue)).await?.changed;
        db.done(sqlx::query("DELETE FROM chassis_queues WHERE name = ?").bind(&input.queue)).await?;
        db.commit().await?;
        Ok(Purged { purged })
    }
}

impl Embedded {
    async fn waiting(&self, queue: &str) -> Result<Depth, Error> {
        let mut db = self.store.read(Part::Queue).await?;
        Ok(Depth {
            messages: messages::waiting(&mut db, queue).await?,
            consumers: self.consumers.count(queue),
        })
    }

    fn settled(&self, changed: u64) -> Settled {
        let settled = changed > 0;
        if settled {
            self.consumers.wake();
        }
        Settled { settled }
    }
}
