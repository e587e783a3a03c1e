//! The broker's greeting, read before the driver is let at it. It names the version, which the driver keeps to itself; and it tells a
//! broker from a server that is none: of a frame without an end the driver would wait for the end for ever, with a thread.

use chassis_guest::Error;
use chassis_guest::tokio::io::{AsyncReadExt, AsyncWriteExt};
use chassis_guest::tokio::net::TcpStream;
use lapin::uri::{AMQPScheme, AMQPUri};

const HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// A frame of a method, on the channel of the connection itself.
const METHOD: &[u8] = b"\x01\x00\x00";
/// The method `connection.start`.
const START: &[u8] = b"\x00\x0a\x00\x0a";
/// No greeting is longer.
const LONGEST: usize = 64 * 1024;

/// The broker's version, on a connection of its own; `unknown` over TLS, or where the broker does not tell.
pub async fn version(uri: &AMQPUri) -> Result<String, Error> {
    let found = match uri.scheme {
        AMQPScheme::AMQP => property(&start(uri).await?, b"\x07version"),
        AMQPScheme::AMQPS => None,
    };
    Ok(found.unwrap_or_else(|| "unknown".to_owned()))
}

async fn start(uri: &AMQPUri) -> Result<Vec<u8>, Error> {
    let lost = |error| Error::unavailable("cannot connect to rabbitmq").caused_by(&error);
    let address = (uri.authority.host.as_str(), uri.authority.port);
    let mut stream = TcpStream::connect(address).await.map_err(lost)?;
    stream.write_all(HEADER).await.map_err(lost)?;
    // A frame: type, channel, length, content.
    let mut head = [0; 7];
    stream.read_exact(&mut head).await.map_err(lost)?;
    let (kind, length) = head.split_at(METHOD.len());
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    if kind != METHOD || length > LONGEST {
        return Err(no_broker());
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await.map_err(lost)?;
    if frame.starts_with(START) { Ok(frame) } else { Err(no_broker()) }
}

fn no_broker() -> Error {
    Error::unavailable("what listens there does not greet as an AMQP 0-9-1 broker")
}

/// The text of a server property: its name, `S`, a length, the text.
fn property(frame: &[u8], name: &[u8]) -> Option<String> {
    let at = frame.windows(name.len()).position(|window| window == name)?;
    let value = frame.get(at + name.len()..)?.strip_prefix(b"S")?;
    let (length, text) = value.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    String::from_utf8(text.get(..length)?.to_vec()).ok()
}
