//! Publishing: persistent, confirmed, and returned when no queue takes it.

use crate::error;
use crate::link::{Lease, Link};
use crate::message::{self, Outgoing};
use chassis_guest::contracts::queue::Published;
use chassis_guest::{Code, Error};
use lapin::options::BasicPublishOptions;
use lapin::{Confirmation, PublisherConfirm};
use std::collections::HashSet;
use std::sync::Arc;

/// Publishes messages of one exchange, all of them before the first confirm is waited for. A result for each, in order.
pub async fn publish(link: &Arc<Link>, messages: Vec<Outgoing>) -> Vec<Result<Published, Error>> {
    let lease = match link.lease().await {
        Ok(lease) => lease,
        Err(error) => return messages.iter().map(|_| Err(error.clone())).collect(),
    };
    let mut confirms = Vec::with_capacity(messages.len());
    for message in &messages {
        confirms.push(send(&lease, message).await);
    }
    let mut confirmed = Vec::with_capacity(messages.len());
    for confirm in confirms {
        confirmed.push(match confirm {
            Ok(confirm) => confirm.await.map_err(|error| error::unconfirmed(&error)),
            Err(error) => Err(error),
        });
    }
    lease.give_back();
    // One confirm can stand for many messages, and a returned message then comes with the first of them: only its id tells.
    let returned: HashSet<_> =
        confirmed.iter().filter_map(|confirmation| returned(confirmation.as_ref().ok()?)).collect();
    let results = messages.into_iter().zip(confirmed.iter());
    results
        .map(|(message, confirmation)| match confirmation {
            Err(error) => Err(error.clone()),
            Ok(_) if returned.contains(&(message.routing_key.to_string(), message.id.clone())) => {
                let text = format!("no queue takes messages for `{}`", message.routing_key);
                Err(Error::new(Code::NotFound, text).status("312").field("queue"))
            }
            Ok(Confirmation::Nack(_)) => {
                Err(Error::new(Code::ResourceExhausted, "rabbitmq did not take the message"))
            }
            Ok(_) => Ok(Published { message_id: message.id }),
        })
        .collect()
}

async fn send(lease: &Lease, message: &Outgoing) -> Result<PublisherConfirm, Error> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let (exchange, key) = (message.exchange.clone(), message.routing_key.clone());
    let sent = lease.channel.basic_publish(exchange, key, options, &message.body, message.properties.clone());
    sent.await.map_err(|error| error::sent(&error))
}

fn returned(confirmation: &Confirmation) -> Option<(String, String)> {
    match confirmation {
        Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message)) => {
            Some((message.routing_key.to_string(), message::id(message)?))
        }
        _ => None,
    }
}
