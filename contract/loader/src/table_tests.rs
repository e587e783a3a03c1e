//! The host's table, used as a plugin uses it.

use crate::ffi::slice;
use crate::table::HostTable;
use crate::{HostServices, Level, MetricKind};
use chassis_abi::call::{PENDING, READY};
use chassis_abi::host::{IO_PENDING, METRIC_COUNTER};
use chassis_abi::waker::LentWaker;
use chassis_abi::{ChassisFuture, ChassisIo, ChassisOutcome, ChassisWaker, PluginBytes};
use serde_json::{Value, json};
use std::ffi::c_void;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Handle;
use tokio::time::timeout;

struct Services {
    runtime: Handle,
    level: AtomicU32,
    log: Mutex<Vec<(Level, String, Option<Value>)>>,
}

impl HostServices for Services {
    fn runtime(&self) -> &Handle {
        &self.runtime
    }

    fn log_level(&self) -> &AtomicU32 {
        &self.level
    }

    fn log(&self, level: Level, message: &str, fields: Option<Value>) {
        self.log.lock().unwrap().push((level, message.to_owned(), fields));
    }

    fn span_start(&self, _: &str, name: &str, _: Option<Value>) -> u64 {
        assert!(name != "panic", "a defect of the host");
        7
    }

    fn metric_register(&self, kind: MetricKind, name: &str, _: &str, labels: Option<Value>) -> u64 {
        assert_eq!((kind, name, labels), (MetricKind::Counter, "seen", Some(json!({"a": "b"}))));
        3
    }
}

fn host() -> (Arc<HostTable>, Arc<Services>) {
    let services =
        Arc::new(Services { runtime: Handle::current(), level: AtomicU32::new(4), log: Mutex::default() });
    (HostTable::new("under-test", Arc::clone(&services) as _), services)
}

fn lend(bytes: &[u8]) -> PluginBytes {
    PluginBytes { ptr: bytes.as_ptr(), len: bytes.len() }
}

fn connect(host: &HostTable, address: &str) -> ChassisIo {
    let table = host.table();
    // SAFETY: the address is lent for the call.
    unsafe { table.connect.unwrap()(table.ctx, lend(address.as_bytes())) }
}

type Slot = unsafe extern "C" fn(*mut c_void, *const ChassisWaker) -> isize;

async fn wait(mut poll: impl FnMut(*const ChassisWaker) -> isize) -> isize {
    let polled = poll_fn(|cx: &mut Context<'_>| match poll(LentWaker::new(cx.waker()).as_ptr()) {
        IO_PENDING => Poll::Pending,
        done => Poll::Ready(done),
    });
    timeout(Duration::from_secs(5), polled).await.unwrap()
}

async fn read(io: &ChassisIo, buffer: &mut [u8]) -> isize {
    // SAFETY: waker and buffer are lent for the call.
    wait(|waker| unsafe { io.poll_read.unwrap()(io.data, waker, buffer.as_mut_ptr(), buffer.len()) }).await
}

async fn write(io: &ChassisIo, bytes: &[u8]) -> isize {
    // SAFETY: as above.
    wait(|waker| unsafe { io.poll_write.unwrap()(io.data, waker, bytes.as_ptr(), bytes.len()) }).await
}

async fn run(io: &ChassisIo, slot: Option<Slot>) -> isize {
    // SAFETY: as above.
    wait(|waker| unsafe { slot.unwrap()(io.data, waker) }).await
}

fn close(io: ChassisIo) {
    // SAFETY: given back once.
    unsafe { io.drop.unwrap()(io.data) };
}

/// Answers everything that it reads until the end, then closes.
async fn echo(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) {
    let mut buffer = vec![0; 65_536];
    while let Ok(len @ 1..) = stream.read(&mut buffer).await {
        stream.write_all(&buffer[..len]).await.unwrap();
    }
}

async fn talk(io: ChassisIo) {
    let sent: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let sending = async {
        let mut rest = &sent[..];
        while !rest.is_empty() {
            let len = write(&io, rest).await;
            assert!(len > 0, "{len}");
            rest = &rest[len as usize..];
        }
        assert_eq!(run(&io, io.poll_flush).await, 0);
        assert_eq!(run(&io, io.poll_shutdown).await, 0);
    };
    let receiving = async {
        let (mut received, mut buffer) = (Vec::new(), vec![0; 10_000]);
        loop {
            match read(&io, &mut buffer).await {
                0 => break received,
                len => received.extend_from_slice(&buffer[..usize::try_from(len).unwrap()]),
            }
        }
    };
    let ((), received) = tokio::join!(sending, receiving);
    assert!(received == sent);
    close(io);
}

#[tokio::test]
async fn a_connection_carries_bytes_both_ways() {
    let (host, _) = host();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { echo(listener.accept().await.unwrap().0).await });
    talk(connect(&host, &address)).await;

    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move { echo(listener.accept().await.unwrap().0).await });
    talk(connect(&host, path.to_str().unwrap())).await;
}

#[tokio::test]
async fn a_failure_to_connect_is_seen_by_the_first_read() {
    let (host, services) = host();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let io = connect(&host, &address);
    let refused = std::io::Error::from_raw_os_error(-read(&io, &mut [0; 8]).await as i32);
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(write(&io, b"x").await < 0 && run(&io, io.poll_flush).await < 0);
    close(io);
    let log = services.log.lock().unwrap();
    assert_eq!(log[0].2.as_ref().unwrap()["address"], address);
}

/// A future as a plugin makes one: it answers when `go` is set, and says when it is dropped.
struct Spawned {
    go: Arc<AtomicBool>,
    dropped: Arc<AtomicBool>,
}

impl Drop for Spawned {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

fn spawned() -> (ChassisFuture, Arc<AtomicBool>, Arc<AtomicBool>) {
    unsafe extern "C" fn poll(
        data: *mut c_void,
        waker: *const ChassisWaker,
        out: *mut ChassisOutcome,
    ) -> u32 {
        // SAFETY: as a plugin's future is polled: data, waker and out are alive.
        unsafe {
            if (*data.cast::<Spawned>()).go.load(Ordering::SeqCst) {
                out.write(ChassisOutcome::EMPTY);
                return READY;
            }
            ((*(*waker).vtable).wake_by_ref)(waker);
        }
        PENDING
    }
    unsafe extern "C" fn drop_it(data: *mut c_void) {
        // SAFETY: dropped once.
        drop(unsafe { Box::from_raw(data.cast::<Spawned>()) });
    }
    let (go, dropped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let data = Box::new(Spawned { go: Arc::clone(&go), dropped: Arc::clone(&dropped) });
    let future = ChassisFuture { data: Box::into_raw(data).cast(), poll: Some(poll), drop: Some(drop_it) };
    (future, go, dropped)
}

async fn becomes(flag: &AtomicBool) {
    let set = async {
        while !flag.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(5), set).await.unwrap();
}

#[tokio::test]
async fn a_task_runs_is_aborted_and_is_not_taken_too_late() {
    let (host, _) = host();
    let (table, gone) = (host.table(), host.gone());
    let spawn = |future| {
        // SAFETY: the future is handed over.
        unsafe { table.spawn.unwrap()(table.ctx, future) }
    };
    let (future, go, dropped) = spawned();
    let done = spawn(future);
    go.store(true, Ordering::SeqCst);
    becomes(&dropped).await;

    let (future, _, dropped) = spawned();
    let task = spawn(future);
    tokio::task::yield_now().await;
    assert!(!dropped.load(Ordering::SeqCst));
    for task in [done, task] {
        // SAFETY: given back once.
        unsafe { task.abort.unwrap()(task.data) };
    }
    becomes(&dropped).await;

    let (future, _, left_running) = spawned();
    let left = spawn(future);
    host.shut();
    let (future, _, dropped) = spawned();
    assert!(spawn(future).data.is_null());
    assert!(dropped.load(Ordering::SeqCst));
    becomes(&left_running).await;
    // SAFETY: given back once.
    unsafe { left.abort.unwrap()(left.data) };

    // The table is gone when nobody can use it any more.
    drop(host);
    let mut gone = gone;
    assert!(timeout(Duration::from_secs(5), gone.changed()).await.unwrap().is_err());
}

#[tokio::test]
async fn what_is_told_reaches_the_services() {
    let (host, services) = host();
    let table = host.table();
    // SAFETY: what is lent lives for the call.
    unsafe {
        assert_eq!(slice(table.instance.ptr, table.instance.len), b"under-test");
        assert_eq!(*table.log_level, 4);
        let log = table.log.unwrap();
        log(table.ctx, 2, lend(b"caf\xe9"), lend(b"{\"n\":1}"));
        log(table.ctx, 99, lend(b""), PluginBytes { ptr: std::ptr::null(), len: 0 });
        log(table.ctx, 1, lend(b"x"), lend(b"not json"));
        let register = table.metric_register.unwrap();
        assert_eq!(register(table.ctx, METRIC_COUNTER, lend(b"seen"), lend(b""), lend(b"{\"a\":\"b\"}")), 3);
        assert_eq!(register(table.ctx, 9, lend(b"seen"), lend(b""), lend(b"")), 0);
        let span = table.span_start.unwrap();
        assert_eq!(span(table.ctx, lend(b""), lend(b"work"), lend(b"")), 7);
        assert_eq!(span(table.ctx, lend(b""), lend(b"panic"), lend(b"")), 0, "a panic stays on its side");
    }
    let log = services.log.lock().unwrap();
    assert_eq!(log[0], (Level::Warn, "caf\u{fffd}".to_owned(), Some(json!({"n": 1}))));
    assert_eq!(log[1], (Level::Trace, String::new(), None));
    assert_eq!(log[2].2, Some(json!({"unreadable": "not json"})));
}
