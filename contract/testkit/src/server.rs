//! The server that a plugin talks to while it is tested.

use crate::Proxy;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use url::Url;

/// Where the real server is.
#[derive(Clone, Copy, Debug)]
pub enum ServerSource {
    /// Its URL is in this environment variable; without it the suite is skipped, and says so.
    Env(&'static str),
    /// The plugin needs no server, only the folder [`Server::dir`]: that is what is taken away.
    Folder,
    /// The plugin needs nothing that could be taken away.
    None,
}

/// The server that a plugin talks to: the real one behind a [`Proxy`], or a folder for a plugin that needs none.
pub struct Server {
    url: Option<Url>,
    proxy: Option<Proxy>,
    dir: TempDir,
    source: ServerSource,
}

impl Server {
    pub(crate) async fn find(source: ServerSource) -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let ServerSource::Env(variable) = source else {
            return Ok(Self { url: None, proxy: None, dir, source });
        };
        let url = std::env::var(variable).map_err(|_| {
            format!("{variable} is not set: start the servers with `cargo xtask backends start`")
        })?;
        let mut url = Url::parse(&url).map_err(|error| format!("{variable} is not a URL: {error}"))?;
        let upstream = match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            _ => return Err(format!("{variable} names no host and port")),
        };
        let proxy = Proxy::start(upstream).await.map_err(|error| format!("no proxy: {error}"))?;
        let (host, port) = (proxy.address().ip().to_string(), proxy.address().port());
        if url.set_host(Some(&host)).is_err() || url.set_port(Some(port)).is_err() {
            return Err(format!("{variable} cannot be pointed at a proxy"));
        }
        Ok(Self { url: Some(url), proxy: Some(proxy), dir, source })
    }

    /// The same server, as a client sees it that is led to another address.
    pub(crate) fn moved(&self, address: SocketAddr) -> Result<Option<Self>, String> {
        let Some(mut url) = self.url.clone() else { return Ok(None) };
        if url.set_ip_host(address.ip()).is_err() && url.set_host(Some(&address.ip().to_string())).is_err() {
            return Err("the URL cannot be pointed elsewhere".to_owned());
        }
        url.set_port(Some(address.port())).map_err(|()| "the URL takes no port".to_owned())?;
        let dir = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        Ok(Some(Self { url: Some(url), proxy: None, dir, source: self.source }))
    }

    /// The protocol that the server speaks.
    pub(crate) fn scheme(&self) -> Option<&str> {
        self.url.as_ref().map(Url::scheme)
    }

    /// The server's URL, by way of the proxy. Empty for a plugin that needs no server.
    pub fn url(&self) -> String {
        self.url.as_ref().map(Url::to_string).unwrap_or_default()
    }

    /// The same URL with another password.
    pub fn url_with_password(&self, password: &str) -> String {
        let mut url = self.url.clone();
        if let Some(url) = &mut url {
            let user =
                if url.username().is_empty() { "canary".to_owned() } else { url.username().to_owned() };
            // A URL that takes no credentials stays as it is: the canary then has nowhere to leak from.
            let _ = (url.set_username(&user), url.set_password(Some(password)));
        }
        url.map(|url| url.to_string()).unwrap_or_default()
    }

    /// The proxy before the server.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// Whether there is anything to take away.
    pub(crate) fn can_stop(&self) -> bool {
        !matches!(self.source, ServerSource::None)
    }

    /// A folder of this run's own.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the folder is while it is away (see [`Server::stop`]).
    fn away(&self) -> PathBuf {
        self.dir().with_extension("away")
    }

    /// Takes the server away; for a plugin without one, its folder: a file stands in its place, so that it cannot be made anew.
    pub async fn stop(&self) -> Result<(), String> {
        match &self.proxy {
            Some(proxy) => proxy.cut().await,
            None => {
                move_folder(self.dir(), &self.away())?;
                std::fs::write(self.dir(), "").map_err(|error| format!("nothing in its place: {error}"))?;
            }
        }
        Ok(())
    }

    /// Brings the server (or the folder) back.
    pub async fn start(&self) -> Result<(), String> {
        match &self.proxy {
            Some(proxy) => proxy.heal().await,
            None => {
                std::fs::remove_file(self.dir()).map_err(|error| format!("still in its place: {error}"))?;
                move_folder(&self.away(), self.dir())?;
            }
        }
        Ok(())
    }
}

fn move_folder(from: &Path, to: &Path) -> Result<(), String> {
    std::fs::rename(from, to).map_err(|error| format!("cannot move {} away: {error}", from.display()))
}
