//! Many documents in one request.

use crate::driver::{Elastic, answer};
use crate::error;
use chassis_guest::contracts::search::{Action, Index};
use chassis_guest::{Code, Effect, Error};
use elasticsearch::BulkParts;
use elasticsearch::params::Refresh;
use serde_json::{Value, json};

/// What the server did with one item.
#[derive(Clone)]
pub struct Applied {
    /// The document's id.
    pub id: String,
    /// `created`, `updated`, `deleted`, `not_found`, or `noop` where it was there already.
    pub result: String,
}

impl Elastic {
    /// Sends actions in one request. A request that fails as a whole is every item's failure.
    pub async fn apply(&self, actions: Vec<Action>) -> Vec<Result<Applied, Error>> {
        let (number, refresh) = (actions.len(), actions.iter().any(wants_refresh));
        if number == 0 {
            return Vec::new();
        }
        let items: Vec<Vec<Value>> = actions.into_iter().map(lines).collect();
        let text: Vec<String> = items.iter().flatten().map(Value::to_string).collect();
        let refresh = if refresh { Refresh::True } else { Refresh::False };
        let sent = self.client.bulk(BulkParts::None).refresh(refresh).body(text).send().await;
        let body = match answer(sent, Effect::Write).await {
            Ok(body) => body,
            Err(error) => return vec![Err(error); number],
        };
        let mut results = Vec::with_capacity(number);
        for (at, item) in items.iter().enumerate() {
            results.push(match applied(&body["items"][at]) {
                Err(error) if error.code() == Code::AlreadyExists => self.repeated(item, error).await,
                result => result,
            });
        }
        results
    }

    /// An item that found its id taken.
    async fn repeated(&self, item: &[Value], taken: Error) -> Result<Applied, Error> {
        let [Value::Object(verb), document] = item else { return Err(taken) };
        let Some(at) = verb.get("create") else { return Err(taken) };
        let text = |name: &str| at[name].as_str().unwrap_or_default();
        let (index, id) = (text("_index"), text("_id"));
        if self.is_there(index, id, document).await? {
            return Ok(Applied { id: id.to_owned(), result: "noop".to_owned() });
        }
        Err(taken)
    }
}

fn wants_refresh(action: &Action) -> bool {
    match action {
        Action::Index(index) => index.refresh,
        Action::Delete(delete) => delete.refresh,
    }
}

fn lines(action: Action) -> Vec<Value> {
    match action {
        Action::Index(Index { index, id, document, if_absent, .. }) => {
            let verb = if if_absent { "create" } else { "index" };
            vec![json!({ verb: { "_index": index, "_id": id } }), Value::Object(document)]
        }
        Action::Delete(delete) => vec![json!({ "delete": { "_index": delete.index, "_id": delete.id } })],
    }
}

fn applied(item: &Value) -> Result<Applied, Error> {
    let done = item.as_object().and_then(|verbs| verbs.values().next());
    let done =
        done.ok_or_else(|| Error::internal("the answer has fewer items than the request").maybe_applied())?;
    let status = done["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(500);
    if let Some(failed) = done.get("error") {
        return Err(error::item(status, failed));
    }
    let text = |name: &str| done[name].as_str().unwrap_or_default().to_owned();
    Ok(Applied { id: text("_id"), result: text("result") })
}
