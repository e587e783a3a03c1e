//! What the driver does for a connection it does on a thread of its own, which nobody can cancel: with a server that says nothing it
//! waits for ever. So the socket is held as well, and its end is the thread's.

use chassis_guest::tokio::select;
use chassis_guest::tokio::sync::watch;
use lapin::tcp::{AMQPUriTcpExt, AsyncTcpStream, TLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

/// Holds the socket of one connection.
#[derive(Default)]
pub struct Leash {
    socket: Mutex<Option<TcpStream>>,
    pulled: watch::Sender<bool>,
}

impl Leash {
    /// Connects, once.
    pub async fn connect(
        self: &Arc<Self>,
        uri: AMQPUri,
        properties: ConnectionProperties,
    ) -> lapin::Result<Connection> {
        let leash = Arc::clone(self);
        let runtime = lapin::runtime::default_runtime()?;
        let dial = Connection::connector(
            uri,
            runtime,
            async move |mut uri: AMQPUri, runtime| {
                let mut pulled = leash.pulled.subscribe();
                let connected = async {
                    let scheme = std::mem::replace(&mut uri.scheme, AMQPScheme::AMQP);
                    let stream = uri.connect_async(&runtime).await?;
                    if let AsyncTcpStream::Plain(plain) = &stream {
                        leash.hold(plain.get_ref())?;
                    }
                    match scheme {
                        AMQPScheme::AMQP => Ok(stream),
                        AMQPScheme::AMQPS => stream.into_tls(&uri.authority.host, TLSConfig::default()).await,
                    }
                };
                select! {
                    biased;
                    _ = pulled.wait_for(|pulled| *pulled) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
                    connected = connected => connected.map_err(lapin::Error::from),
                }
            },
            properties,
        );
        dial.await
    }

    /// Ends the connection, or the attempt.
    pub fn pull(&self) {
        self.pulled.send_replace(true);
        if let Some(socket) = self.socket.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // One that the peer has closed is as good.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn hold(&self, socket: &impl AsFd) -> io::Result<()> {
        let socket = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
        Ok(())
    }
}
