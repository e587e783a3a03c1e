//! The other side: the same five calls, one after the other, by the drivers directly.

use super::user::User;
use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use chassis_faults::stores::{COLLECTION, INDEX, QUEUE, SESSION, Urls};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use mongodb::Collection;
use mongodb::options::ClientOptions;
use redis::aio::MultiplexedConnection;
use reqwest::Client;
use serde_json::json;
use sqlx::postgres::{PgPool, PgPoolOptions};

/// A connection, or pool of them, to each.
#[derive(Clone)]
pub struct Drivers {
    postgres: PgPool,
    mongodb: Collection<Document>,
    redis: MultiplexedConnection,
    rabbitmq: Channel,
    elasticsearch: Client,
    index: String,
}

const POOL: u32 = 32;
const INSERT: &str = "INSERT INTO users (email, username, full_name, bio, created_at, run_id)
    VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";

impl Drivers {
    /// Connects to all five.
    pub async fn connect(urls: &Urls) -> Result<(Self, Connection)> {
        let mut options = ClientOptions::parse(&urls.mongodb).await?;
        options.max_pool_size = Some(POOL);
        let client = mongodb::Client::with_options(options)?;
        let database = client.default_database().context("the URL of MongoDB names no database")?;
        let connection = Connection::connect(&urls.rabbitmq, ConnectionProperties::default()).await?;
        let rabbitmq = connection.create_channel().await?;
        rabbitmq.confirm_select(ConfirmSelectOptions::default()).await?;
        let drivers = Self {
            postgres: PgPoolOptions::new().max_connections(POOL).connect(&urls.postgres).await?,
            mongodb: database.collection(COLLECTION),
            redis: redis::Client::open(&*urls.redis)?.get_multiplexed_async_connection().await?,
            rabbitmq,
            elasticsearch: Client::builder().pool_max_idle_per_host(POOL as usize).build()?,
            index: format!("{}/{INDEX}/_create", urls.elasticsearch.trim_end_matches('/')),
        };
        Ok((drivers, connection))
    }

    /// One user in five stores.
    pub async fn create_user(&self, user: &User) -> Result<()> {
        let User { email, username, full_name, bio, run } = user;
        let id: i64 = sqlx::query_scalar(INSERT)
            .bind(email)
            .bind(username)
            .bind(full_name)
            .bind(bio)
            .bind("2026-01-01T00:00:00.000Z")
            .bind(run)
            .fetch_one(&self.postgres)
            .await?;
        let document = doc! {
            "_id": id, "user_id": id, "theme": "dark", "language": "en", "notifications": true, "run_id": run,
        };
        self.mongodb.insert_one(document).await?;
        let session = json!({
            "user_id": id, "email": email, "username": username, "full_name": full_name, "bio": bio,
            "preferences": { "theme": "dark", "language": "en", "notifications": true },
        });
        let mut redis = self.redis.clone();
        let mut set = redis::cmd("SET");
        set.arg(format!("{SESSION}{id}")).arg(session.to_string()).arg("PX").arg(86_400_000);
        set.exec_async(&mut redis).await?;
        let entry = json!({ "user_id": id, "email": email, "username": username, "full_name": full_name, "bio": bio });
        let indexed = self.elasticsearch.put(format!("{}/{id}", self.index)).json(&entry).send().await?;
        ensure!(indexed.status().is_success(), "Elasticsearch: {}", indexed.text().await?);
        // To its end, so that the connection can be used again.
        indexed.bytes().await?;
        let body = json!({ "user_id": id, "email": email, "full_name": full_name }).to_string();
        let properties =
            BasicProperties::default().with_message_id(format!("welcome-{run}").into()).with_delivery_mode(2);
        let confirm = self
            .rabbitmq
            .basic_publish(
                "".into(),
                QUEUE.into(),
                BasicPublishOptions::default(),
                body.as_bytes(),
                properties,
            )
            .await?;
        ensure!(!confirm.await?.is_nack(), "RabbitMQ did not take the message");
        Ok(())
    }
}
