//! A server that is none: it says nothing, or nonsense, or never comes to an end.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What it does once a client has spoken.
#[derive(Clone, Copy, Debug)]
pub enum Lie {
    /// It takes everything and answers nothing.
    Silence,
    /// It answers what belongs to no protocol.
    Nonsense,
    /// It begins an answer that has no end.
    Endless(&'static [u8]),
}

/// Listens on a loopback port of its own; gone when dropped.
pub struct Liar {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// So much is sent at a time, and then a pause: a test must not take all the memory that a lie could.
const PIECE: usize = 16 * 1024;
const PAUSE: Duration = Duration::from_millis(1);

impl Lie {
    /// The lies that can be told to who speaks the protocol of this URL scheme.
    pub fn all(scheme: &str) -> [Self; 3] {
        [Self::Silence, Self::Nonsense, Self::Endless(beginning(scheme))]
    }
}

/// An answer that announces more than anybody would wait for.
fn beginning(scheme: &str) -> &'static [u8] {
    match scheme {
        // A frame of 4 GB.
        "amqp" => b"\x01\x00\x00\xff\xff\xff\xf0",
        // A message of 2 GB to ask for a password.
        "postgres" | "postgresql" => b"R\x7f\xff\xff\xf0",
        // A reply of 2 GB.
        "mongodb" => b"\xf0\xff\xff\x7f\x01\0\0\0\x01\0\0\0\xdd\x07\0\0",
        // A text of 2 GB.
        "redis" => b"$2000000000\r\n",
        // A header.
        _ => b"HTTP/1.1 200 OK\r\nserver: ",
    }
}

impl Liar {
    /// Begins to listen.
    ///
    /// # Errors
    /// No port could be had.
    pub async fn start(lie: Lie) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(talk(stream, lie));
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Until the client goes away.
async fn talk(mut stream: TcpStream, lie: Lie) {
    let mut heard = vec![0; PIECE];
    let (first, more): (&[u8], _) = match lie {
        Lie::Silence => (b"", None),
        Lie::Nonsense => (b"", Some([0xa5; PIECE])),
        Lie::Endless(beginning) => (beginning, Some([b'x'; PIECE])),
    };
    while stream.read(&mut heard).await.is_ok_and(|n| n > 0) {
        let Some(more) = &more else { continue };
        if stream.write_all(first).await.is_err() {
            return;
        }
        while stream.write_all(more).await.is_ok() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
