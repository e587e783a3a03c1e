//! A TCP proxy before the real server, so that its going away, its silence and its return can be tried without touching it.

use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What the proxy does with bytes and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    Freeze,
    Cut,
}

/// A TCP proxy on a loopback port of its own.
#[derive(Clone)]
pub struct Proxy {
    inner: Arc<Inner>,
}

struct Inner {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    listening: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Begins to listen. `upstream` is `host:port`.
    ///
    /// # Errors
    /// No port could be had.
    pub async fn start(upstream: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let (up, listening) = watch::channel(true);
        let task = tokio::spawn(serve(listener, address, upstream, modes, up));
        Ok(Self { inner: Arc::new(Inner { address, mode, listening, task }) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.inner.address
    }

    /// The server is gone: connections break, new ones are refused.
    pub async fn cut(&self) {
        self.switch(Mode::Cut, false).await;
    }

    /// The server is silent: connections stay, and no byte passes.
    pub async fn freeze(&self) {
        self.switch(Mode::Freeze, true).await;
    }

    /// The server is back.
    pub async fn heal(&self) {
        self.switch(Mode::Pass, true).await;
    }

    async fn switch(&self, mode: Mode, listening: bool) {
        self.inner.mode.send_replace(mode);
        let mut state = self.inner.listening.clone();
        // The serving task ends with this value only, so the state does come.
        let _ = state.wait_for(|now| *now == listening).await;
    }
}

async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    upstream: String,
    mut modes: watch::Receiver<Mode>,
    up: watch::Sender<bool>,
) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        if *modes.borrow_and_update() == Mode::Cut {
            listener = None;
            connections.shutdown().await;
            up.send_replace(false);
            if modes.wait_for(|mode| *mode != Mode::Cut).await.is_err() {
                return;
            }
        }
        let open = match &listener {
            Some(open) => open,
            None => match listen_again(address).await {
                Some(open) => listener.insert(open),
                None => continue,
            },
        };
        up.send_replace(true);
        tokio::select! {
            changed = modes.changed() => if changed.is_err() { return },
            accepted = open.accept() => if let Ok((client, _)) = accepted {
                connections.spawn(pass(client, upstream.clone(), modes.clone()));
            },
        }
    }
}

async fn listen_again(address: SocketAddr) -> Option<TcpListener> {
    let listener = TcpSocket::new_v4().and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(1024)
    });
    if listener.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    listener.ok()
}

async fn pass(client: TcpStream, upstream: String, modes: watch::Receiver<Mode>) {
    let Ok(server) = TcpStream::connect(&upstream).await else { return };
    // A test proxy that adds Nagle's delay would test the proxy.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    tokio::select! {
        () = copy(&mut from_client, &mut to_server, modes.clone()) => {},
        () = copy(&mut from_server, &mut to_client, modes) => {},
    }
}

async fn copy(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut modes: watch::Receiver<Mode>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n) = from.read(&mut buffer).await {
        let passes = modes.wait_for(|mode| *mode == Mode::Pass).await.is_ok();
        if n == 0 || !passes || to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
