//! The broker's version. It stands in the first frame that a broker sends, which the driver keeps to itself.

use chassis_guest::tokio::io::{AsyncReadExt, AsyncWriteExt};
use chassis_guest::tokio::net::TcpStream;
use chassis_guest::tokio::time::timeout;
use lapin::uri::{AMQPScheme, AMQPUri};
use std::time::Duration;

const HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks for it on a connection of its own, once an instance; `unknown` over TLS, or where the broker does not tell.
pub async fn ask(uri: &AMQPUri) -> String {
    let found = match uri.scheme {
        AMQPScheme::AMQP => timeout(PATIENCE, start(uri)).await.ok().flatten(),
        AMQPScheme::AMQPS => None,
    };
    found.unwrap_or_else(|| "unknown".to_owned())
}

async fn start(uri: &AMQPUri) -> Option<String> {
    let mut stream = TcpStream::connect((uri.authority.host.as_str(), uri.authority.port)).await.ok()?;
    stream.write_all(HEADER).await.ok()?;
    // A frame: type, channel, length, content.
    let mut head = [0; 7];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes(head[3..].try_into().ok()?);
    let mut frame = vec![0; usize::try_from(length).ok().filter(|length| *length < 64 * 1024)?];
    stream.read_exact(&mut frame).await.ok()?;
    property(&frame, b"\x07version")
}

/// The text of a server property: its name, `S`, a length, the text.
fn property(frame: &[u8], name: &[u8]) -> Option<String> {
    let at = frame.windows(name.len()).position(|window| window == name)?;
    let value = frame.get(at + name.len()..)?.strip_prefix(b"S")?;
    let (length, text) = value.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    String::from_utf8(text.get(..length)?.to_vec()).ok()
}
