//! Byte streams and tasks that the host lends.

use chassis_abi::host::IO_PENDING;
use chassis_abi::waker::LentWaker;
use chassis_abi::{ChassisIo, ChassisTask};
use std::io::{Error, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection on the host's event loop.
pub struct HostIo {
    io: ChassisIo,
}

impl HostIo {
    pub(crate) fn new(io: ChassisIo) -> Option<Self> {
        let whole = io.poll_read.is_some() && io.poll_write.is_some();
        (whole && !io.data.is_null()).then_some(Self { io })
    }
}

fn answer(answer: isize) -> Poll<Result<usize>> {
    match answer {
        IO_PENDING => Poll::Pending,
        n if n < 0 => Poll::Ready(Err(Error::from_raw_os_error(i32::try_from(-n).unwrap_or(5)))),
        n => Poll::Ready(Ok(n.unsigned_abs())),
    }
}

impl AsyncRead for HostIo {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let Some(read) = self.io.poll_read else { return Poll::Ready(Ok(())) };
        let (waker, room) = (LentWaker::new(context.waker()), buffer.initialize_unfilled());
        // SAFETY: the buffer and the waker are lent for the call.
        let n = unsafe { read(self.io.data, waker.as_ptr(), room.as_mut_ptr(), room.len()) };
        answer(n).map_ok(|n| buffer.advance(n.min(buffer.remaining())))
    }
}

impl AsyncWrite for HostIo {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let Some(write) = self.io.poll_write else { return Poll::Ready(Ok(0)) };
        let waker = LentWaker::new(context.waker());
        // SAFETY: the bytes and the waker are lent for the call.
        let n = unsafe { write(self.io.data, waker.as_ptr(), bytes.as_ptr(), bytes.len()) };
        answer(n).map_ok(|n| n.min(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(flush) = self.io.poll_flush else { return Poll::Ready(Ok(())) };
        let waker = LentWaker::new(context.waker());
        // SAFETY: the waker is lent for the call.
        answer(unsafe { flush(self.io.data, waker.as_ptr()) }).map_ok(drop)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(shutdown) = self.io.poll_shutdown else { return Poll::Ready(Ok(())) };
        let waker = LentWaker::new(context.waker());
        // SAFETY: the waker is lent for the call.
        answer(unsafe { shutdown(self.io.data, waker.as_ptr()) }).map_ok(drop)
    }
}

impl Drop for HostIo {
    fn drop(&mut self) {
        if let Some(drop) = self.io.drop {
            // SAFETY: given back once.
            unsafe { drop(self.io.data) };
        }
    }
}

/// A task on the host's threads; aborted when dropped.
pub struct HostTask {
    task: ChassisTask,
}

impl HostTask {
    pub(crate) fn new(task: ChassisTask) -> Option<Self> {
        (!task.data.is_null()).then_some(Self { task })
    }
}

impl Drop for HostTask {
    fn drop(&mut self) {
        if let Some(abort) = self.task.abort {
            // SAFETY: given back once.
            unsafe { abort(self.task.data) };
        }
    }
}
