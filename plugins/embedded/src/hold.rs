//! A file is opened by one copy of SQLite in a process.
//!
//! Each generation of this plugin brings a copy of its own, and the locks that SQLite takes are the process's: two copies would not
//! see each other's, and would spoil the file. Other processes are no danger. So a copy takes a name in the kernel that the process
//! has once; the name is free again when the last connection is closed, or the process is gone.

use crate::store::Identity;
use chassis_guest::Error;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The right to open a file; shared by all instances of one copy.
pub(crate) struct Hold {
    #[cfg(target_os = "linux")]
    _name: std::os::unix::net::UnixDatagram,
}

static HELD: Mutex<Option<HashMap<Identity, Weak<Hold>>>> = Mutex::new(None);

impl Hold {
    /// Takes the file.
    ///
    /// # Errors
    /// `unavailable` while another copy has it.
    pub(crate) fn take(file: Identity) -> Result<Arc<Self>, Error> {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.get_or_insert_default();
        held.retain(|_, hold| hold.strong_count() > 0);
        if let Some(hold) = held.get(&file).and_then(Weak::upgrade) {
            return Ok(hold);
        }
        let hold = Arc::new(Self::named(file)?);
        held.insert(file, Arc::downgrade(&hold));
        Ok(hold)
    }

    #[cfg(target_os = "linux")]
    fn named((device, inode): Identity) -> Result<Self, Error> {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixDatagram};

        let name = format!("chassis-embedded:{}:{device}:{inode}", std::process::id());
        let bound = SocketAddr::from_abstract_name(name).and_then(|name| UnixDatagram::bind_addr(&name));
        bound.map(|name| Self { _name: name }).map_err(|error| {
            Error::unavailable("another generation of the plugin still has the database file open")
                .caused_by(&error)
        })
    }

    /// There are no such names: two generations on one file are left to the operator.
    #[cfg(not(target_os = "linux"))]
    fn named(_: Identity) -> Result<Self, Error> {
        Ok(Self {})
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use chassis_guest::Code;

    #[test]
    fn a_file_has_one_holder_and_is_free_again() {
        let foreign = Hold::named((1, 2)).unwrap();
        assert_eq!(Hold::take((1, 2)).err().map(|error| error.code()), Some(Code::Unavailable));
        drop(foreign);
        let (first, second) = (Hold::take((1, 2)).unwrap(), Hold::take((1, 2)).unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        drop((first, second));
        assert!(Hold::named((1, 2)).is_ok());
    }
}
