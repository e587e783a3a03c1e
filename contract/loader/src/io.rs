//! Connections that the host lends to a plugin, on the host's event loop.

use crate::Level;
use crate::ffi::{slice, slice_mut};
use crate::table::HostTable;
use chassis_abi::host::IO_PENDING;
use chassis_abi::waker::with_waker;
use chassis_abi::{ChassisIo, ChassisWaker};
use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::AbortHandle;

/// Begins to connect and answers at once; a failure is seen by the first read or write.
pub(crate) fn connect(host: Arc<HostTable>, address: &str) -> ChassisIo {
    let link = Arc::new(Link { socket: OnceLock::new(), waiting: Mutex::default(), turn: Turn::default() });
    let connecting = Arc::clone(&link);
    let (address, services) = (address.to_owned(), Arc::clone(&host));
    let task = host.runtime().spawn(async move {
        let socket = Socket::connect(&address).await;
        if let Err(error) = &socket {
            let fields = serde_json::json!({ "address": address, "error": error.to_string() });
            services.services().log(Level::Debug, "connection refused or lost", Some(fields));
        }
        connecting.connected(socket.map_err(|error| negative_errno(&error)));
    });
    let data = Box::new(HostIo { link, task: task.abort_handle(), _host: host });
    ChassisIo {
        data: Box::into_raw(data).cast(),
        poll_read: Some(poll_read),
        poll_write: Some(poll_write),
        poll_flush: Some(poll_flush),
        poll_shutdown: Some(poll_shutdown),
        drop: Some(close),
    }
}

struct HostIo {
    link: Arc<Link>,
    task: AbortHandle,
    _host: Arc<HostTable>,
}

/// A connection, or one on its way, or the errno that it failed with. Reader and writer may be on different threads.
struct Link {
    socket: OnceLock<Result<Socket, isize>>,
    waiting: Mutex<[Option<Waker>; 2]>,
    turn: Turn,
}

/// Before a write, the tasks that are ready may go first: what they have to send then goes along in the same system call, which
/// is most of what a small request costs. Where that brings nothing, the next writes do not wait. Used by the one writer only.
#[derive(Default)]
struct Turn {
    // What was to be written when the others were let go first; 0 means that they were not.
    waiting: AtomicUsize,
    skip: AtomicUsize,
}

impl Turn {
    /// So many writes are sent at once after one that gained nothing by waiting.
    const SKIP: usize = 16;

    fn yields(&self, len: usize) -> bool {
        let skip = self.skip.load(Ordering::Relaxed);
        if skip > 0 {
            self.skip.store(skip - 1, Ordering::Relaxed);
            return false;
        }
        let before = self.waiting.swap(0, Ordering::Relaxed);
        if before == 0 {
            self.waiting.store(len, Ordering::Relaxed);
            return len > 0;
        }
        if len <= before {
            self.skip.store(Self::SKIP, Ordering::Relaxed);
        }
        false
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

const READER: usize = 0;
const WRITER: usize = 1;

impl Link {
    fn connected(&self, socket: Result<Socket, isize>) {
        let _ = self.socket.set(socket);
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().flatten().for_each(Waker::wake);
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> isize {
        if self.turn.yields(bytes.len()) {
            cx.waker().wake_by_ref();
            return IO_PENDING;
        }
        self.poll(WRITER, cx, |socket, cx| socket.poll_write(cx, bytes))
    }

    fn poll(
        &self,
        side: usize,
        cx: &mut Context<'_>,
        run: impl FnOnce(&Socket, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> isize {
        if self.socket.get().is_none() {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            // `connected` sets the socket before it takes this lock: looked at again, no wake-up is missed.
            if self.socket.get().is_none() {
                waiting[side] = Some(cx.waker().clone());
                return IO_PENDING;
            }
        }
        match self.socket.get() {
            None => IO_PENDING,
            Some(Err(errno)) => *errno,
            Some(Ok(socket)) => match run(socket, cx) {
                Poll::Pending => IO_PENDING,
                Poll::Ready(Ok(len)) => len as isize,
                Poll::Ready(Err(error)) => negative_errno(&error),
            },
        }
    }
}

impl Socket {
    async fn connect(address: &str) -> io::Result<Self> {
        if address.starts_with('/') {
            return UnixStream::connect(address).await.map(Self::Unix);
        }
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    fn poll_read(&self, cx: &mut Context<'_>, mut buffer: &mut [MaybeUninit<u8>]) -> Poll<io::Result<usize>> {
        loop {
            let read = match self {
                Self::Tcp(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_read_buf(&mut buffer)
                }
                Self::Unix(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_read_buf(&mut buffer)
                }
            };
            if !would_block(&read) {
                return Poll::Ready(read);
            }
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let written = match self {
                Self::Tcp(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_write(bytes)
                }
                Self::Unix(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_write(bytes)
                }
            };
            if !would_block(&written) {
                return Poll::Ready(written);
            }
        }
    }

    /// Shuts the writing side down, through a second descriptor of the same socket: tokio asks for the stream itself.
    fn shutdown(&self) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => {
                std::net::TcpStream::from(stream.as_fd().try_clone_to_owned()?).shutdown(Shutdown::Write)?;
            }
            Self::Unix(stream) => {
                let second = stream.as_fd().try_clone_to_owned()?;
                std::os::unix::net::UnixStream::from(second).shutdown(Shutdown::Write)?;
            }
        }
        Ok(0)
    }
}

fn would_block(result: &io::Result<usize>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// A name that is not found has no errno; to the plugin it is an I/O error, and the host's log tells more.
fn negative_errno(error: &io::Error) -> isize {
    const EIO: i32 = 5;
    -(error.raw_os_error().filter(|errno| *errno > 0).unwrap_or(EIO) as isize)
}

// SAFETY of the slots below: `data` is a HostIo until `close`; waker and buffer live for the call, and no one else has them.

unsafe fn with_link(
    data: *mut c_void,
    waker: *const ChassisWaker,
    run: impl FnOnce(&Link, &mut Context<'_>) -> isize,
) -> isize {
    // SAFETY: see above.
    unsafe {
        let io = &*data.cast_const().cast::<HostIo>();
        with_waker(waker, |waker| run(&io.link, &mut Context::from_waker(waker)))
    }
}

unsafe extern "C" fn poll_read(
    data: *mut c_void,
    waker: *const ChassisWaker,
    buffer: *mut u8,
    len: usize,
) -> isize {
    // SAFETY: see above.
    unsafe {
        let buffer = slice_mut(buffer, len);
        with_link(data, waker, |link, cx| link.poll(READER, cx, |socket, cx| socket.poll_read(cx, buffer)))
    }
}

unsafe extern "C" fn poll_write(
    data: *mut c_void,
    waker: *const ChassisWaker,
    buffer: *const u8,
    len: usize,
) -> isize {
    // SAFETY: see above.
    unsafe {
        let bytes = slice(buffer, len);
        with_link(data, waker, |link, cx| link.poll_write(cx, bytes))
    }
}

unsafe extern "C" fn poll_flush(data: *mut c_void, waker: *const ChassisWaker) -> isize {
    // SAFETY: see above. A socket keeps nothing back; only connecting is waited for.
    unsafe { with_link(data, waker, |link, cx| link.poll(WRITER, cx, |_, _| Poll::Ready(Ok(0)))) }
}

unsafe extern "C" fn poll_shutdown(data: *mut c_void, waker: *const ChassisWaker) -> isize {
    // SAFETY: see above.
    unsafe {
        with_link(data, waker, |link, cx| link.poll(WRITER, cx, |socket, _| Poll::Ready(socket.shutdown())))
    }
}

unsafe extern "C" fn close(data: *mut c_void) {
    // SAFETY: made in `connect`, and given back once.
    let io = unsafe { Box::from_raw(data.cast::<HostIo>()) };
    io.task.abort();
}

#[cfg(test)]
mod tests {
    use super::Turn;

    #[test]
    fn a_writer_waits_for_others_only_where_that_brings_something() {
        let turn = Turn::default();
        assert!(turn.yields(10));
        assert!(!turn.yields(30), "the others came, now it is sent");
        assert!(turn.yields(10));
        assert!(!turn.yields(10), "nobody came");
        for _ in 0..Turn::SKIP {
            assert!(!turn.yields(10));
        }
        assert!(turn.yields(10));
    }
}
