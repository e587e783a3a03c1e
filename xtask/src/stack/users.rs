//! A few users, made as anybody makes them: by the flow create-user over the edge.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// The domain is reserved for examples.
const PEOPLE: [(&str, &str, &str); 4] = [
    ("ada", "Ada Lovelace", "Wrote the first program for the Analytical Engine."),
    ("alan", "Alan Turing", "Asked whether machines can think."),
    ("grace", "Grace Hopper", "Made the first compiler and found a moth."),
    ("barbara", "Barbara Liskov", "Says when one type may stand for another."),
];

/// Prepares the stores and makes the users; gives their names. Those of an earlier start are left as they are.
pub fn make(edge: SocketAddr) -> Result<Vec<&'static str>> {
    let (status, answer) = post(edge, "/v1/flows/setup", "demo-setup", &json!({}))?;
    if status != 200 {
        bail!("the flow setup failed: {}", answer["detail"].as_str().unwrap_or("the host gives no reason"));
    }
    for (username, full_name, bio) in PEOPLE {
        let email = format!("{username}@demo.example");
        let input = json!({"email": email, "username": username, "full_name": full_name, "bio": bio});
        let (status, answer) = post(edge, "/v1/flows/create-user", &format!("demo-user-{username}"), &input)?;
        if status != 200 && answer["code"] != "already_exists" {
            bail!(
                "{username} was not made: {}",
                answer["detail"].as_str().unwrap_or("the host gives no reason")
            );
        }
    }
    Ok(PEOPLE.map(|(username, ..)| username).to_vec())
}

/// Sends JSON with an idempotency key; gives status and body of the answer.
fn post(edge: SocketAddr, path: &str, key: &str, body: &Value) -> Result<(u16, Value)> {
    let body = body.to_string();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: {edge}\r\nContent-Type: application/json\r\nIdempotency-Key: \"{key}\"\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    let exchange = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&edge, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().with_context(|| format!("the host on {edge} does not answer"))?;
    parse(&String::from_utf8_lossy(&answer))
        .with_context(|| format!("what the host on {edge} answers is no HTTP with JSON"))
}

fn parse(answer: &str) -> Option<(u16, Value)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, serde_json::from_str(body).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_read() {
        let read = parse("HTTP/1.0 409 Conflict\r\ncontent-type: x\r\n\r\n{\"code\":\"already_exists\"}");
        assert_eq!(read, Some((409, json!({"code": "already_exists"}))));
        assert_eq!(parse("HTTP/1.0 200 OK\r\n\r\nwell"), None);
    }

    #[test]
    fn a_host_that_is_not_there_is_named() {
        // A port that was free a moment ago.
        let edge = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let error = make(edge).unwrap_err().to_string();
        assert!(error.contains(&format!("the host on {edge} does not answer")), "{error}");
    }
}
