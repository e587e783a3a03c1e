//! What every server is to us: a name, what it needs, how it is started, asked and stopped.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use rustix::process::Signal;

/// One server's place: its folder, its ports, its log.
pub struct Site {
    pub folder: PathBuf,
    pub ports: Vec<u16>,
    pub log: PathBuf,
}

impl Site {
    /// The port that clients use.
    pub fn port(&self) -> u16 {
        self.ports[0]
    }
}

/// One kind of server. Its file is all there is to say about it.
pub trait Backend: Sync {
    /// The name on the command line and in the state file.
    fn name(&self) -> &'static str;

    /// Other names for it, such as the plugin's when that differs.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    /// The environment variable that carries its address.
    fn variable(&self) -> &'static str;

    /// Ports it usually gets: the clients' first. Not the well-known ones: a server of the user's own may be there.
    fn usual_ports(&self) -> &'static [u16];

    /// Debian packages that are missing for it.
    fn missing_packages(&self) -> Vec<&'static str>;

    /// Everything before the start: what is built into the cache, an empty database.
    fn prepare(&self, _site: &Site) -> Result<()> {
        Ok(())
    }

    /// Starts its processes; the server itself is the last.
    fn launch(&self, site: &Site, spawn: &mut dyn FnMut(Command) -> Result<()>) -> Result<()>;

    /// Whether it answers.
    fn ready(&self, site: &Site) -> bool;

    /// What is left to do once it answers; done again at each start.
    fn furnish(&self, _site: &Site) -> Result<()> {
        Ok(())
    }

    /// Its address, with user and password.
    fn url(&self, port: u16) -> String;

    /// The signal on which it ends in good order.
    fn stop_signal(&self) -> Signal {
        Signal::TERM
    }
}
