//! Items that come to an operation.

use crate::Error;
use crate::ffi::{discard, drop_stream_of_host, grant_stream_of_host, poll_stream_of_host, take_owned};
use crate::instance::parse;
use chassis_abi::{ChassisStream, Code};
use serde::de::DeserializeOwned;

/// How many items may be on their way before the operation asks for the first one.
const WINDOW: u32 = 16;

/// Items that come to an operation, with back pressure: the caller sends as many as the operation takes. Without an upload it
/// is at its end at once.
pub struct Upload {
    stream: ChassisStream,
    granted: u32,
}

impl Default for Upload {
    fn default() -> Self {
        Self { stream: ChassisStream::NONE, granted: 0 }
    }
}

impl Upload {
    /// Takes the upload out of a call.
    ///
    /// # Safety
    /// It is taken once.
    pub(crate) unsafe fn take(stream: *const ChassisStream) -> Self {
        // SAFETY: the caller's promise; the host does not touch it again. Most calls have none: then only that is read.
        unsafe {
            if (*stream).data.is_null() {
                Self::default()
            } else {
                Self { stream: stream.read(), granted: 0 }
            }
        }
    }

    /// The next item, `None` at the end.
    ///
    /// # Errors
    /// `invalid_argument` for an item that cannot be read; whatever the caller ended the upload with.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        Ok(self.next_with_raw().await?.map(|(item, _)| item))
    }

    /// The next item with its raw attachment, `None` at the end.
    ///
    /// # Errors
    /// As for [`Upload::next`].
    pub async fn next_with_raw<T: DeserializeOwned>(&mut self) -> Result<Option<(T, Vec<u8>)>, Error> {
        if self.stream.data.is_null() {
            return Ok(None);
        }
        if self.granted < WINDOW / 2 {
            grant_stream_of_host(&self.stream, WINDOW);
            self.granted += WINDOW;
        }
        let next = std::future::poll_fn(|context| poll_stream_of_host(&self.stream, context)).await;
        let Some(outcome) = next else {
            drop_stream_of_host(std::mem::replace(&mut self.stream, ChassisStream::NONE));
            return Ok(None);
        };
        self.granted = self.granted.saturating_sub(1);
        if outcome.code != 0 {
            let code = Code::from_number(outcome.code);
            discard(outcome);
            return Err(Error::new(code, "the upload was given up by its sender"));
        }
        let (json, raw) = (take_owned(outcome.json), take_owned(outcome.raw));
        let json = if json.is_empty() { b"null".as_slice() } else { &json };
        Ok(Some((parse(json, "an item of the upload is refused")?, raw)))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        drop_stream_of_host(std::mem::replace(&mut self.stream, ChassisStream::NONE));
    }
}
