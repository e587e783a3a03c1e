//! Messages: from an input to what is sent, from what is delivered to an output.

use chassis_guest::Error;
use chassis_guest::contracts::Origin;
use chassis_guest::contracts::queue::{Message, Publish};
use chassis_guest::serde_json::{self, Value};
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use std::collections::BTreeMap;
use uuid::Uuid;

const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;

/// A message to send.
pub struct Outgoing {
    pub id: String,
    pub exchange: ShortString,
    pub routing_key: ShortString,
    pub properties: BasicProperties,
    pub body: Vec<u8>,
}

impl Outgoing {
    /// Makes it; without an id of its own it gets its key, or a new one.
    pub fn new(input: Publish, origin: &Origin) -> Result<Self, Error> {
        let id = input.message_id.or_else(|| origin.idempotency_key.clone());
        let id = id.unwrap_or_else(|| Uuid::new_v4().to_string());
        let body = serde_json::to_vec(&input.body)
            .map_err(|error| Error::invalid("body", "cannot be written as JSON").caused_by(&error))?;
        let mut headers = FieldTable::default();
        let trace = origin.trace_headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
        for (name, value) in input.headers.into_iter().chain(trace) {
            headers.insert(short("headers", name)?, AMQPValue::LongString(value.into()));
        }
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(if input.persistent { PERSISTENT } else { TRANSIENT })
            .with_message_id(short("message_id", id.clone())?)
            .with_headers(headers);
        let exchange = short("exchange", input.exchange.unwrap_or_default())?;
        Ok(Self { id, exchange, routing_key: short("queue", input.queue)?, properties, body })
    }
}

/// A name as AMQP writes it.
pub fn short(field: &str, text: impl Into<String>) -> Result<ShortString, Error> {
    ShortString::try_new(text).map_err(|_| Error::invalid(field, "must be at most 255 bytes long"))
}

/// A message that was delivered.
pub fn incoming(delivery: Delivery, receipt: String) -> Message {
    let headers = delivery.properties.headers().iter().flat_map(FieldTable::inner);
    let headers = headers.filter_map(|(name, value)| match value {
        AMQPValue::LongString(text) => {
            Some((name.to_string(), String::from_utf8(text.as_bytes().to_vec()).ok()?))
        }
        AMQPValue::ShortString(text) => Some((name.to_string(), text.to_string())),
        // A quorum queue tells so how often a message came back.
        AMQPValue::LongInt(number) => Some((name.to_string(), number.to_string())),
        AMQPValue::LongLongInt(number) => Some((name.to_string(), number.to_string())),
        _ => None,
    });
    Message {
        headers: headers.collect::<BTreeMap<_, _>>(),
        message_id: id(&delivery),
        exchange: delivery.exchange.to_string(),
        routing_key: delivery.routing_key.to_string(),
        redelivered: delivery.redelivered,
        body: serde_json::from_slice(&delivery.data)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&delivery.data).into_owned())),
        receipt,
    }
}

/// A message's id, if it has one.
pub fn id(delivery: &Delivery) -> Option<String> {
    delivery.properties.message_id().as_ref().map(ToString::to_string)
}
