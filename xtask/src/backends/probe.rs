//! Asking a server whether it answers, in a few bytes of its own protocol.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Sends `bytes` and tells whether the beginning of the answer is as expected.
pub fn answers(port: u16, bytes: &[u8], expected: impl Fn(&[u8]) -> bool) -> bool {
    exchange(port, bytes).is_some_and(|answer| expected(&answer))
}

/// Whether something listens on the port.
pub fn listens(port: u16) -> bool {
    connect(port).is_some()
}

/// Whether GET `path` gives 200.
pub fn http_ok(port: u16, path: &str) -> bool {
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
    answers(port, request.as_bytes(), |answer| {
        let line = String::from_utf8_lossy(&answer[..answer.len().min(16)]).into_owned();
        line.split(' ').nth(1) == Some("200")
    })
}

fn connect(port: u16) -> Option<TcpStream> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let stream = TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(3))).ok()?;
    Some(stream)
}

fn exchange(port: u16, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut stream = connect(port)?;
    stream.write_all(bytes).ok()?;
    let mut answer = vec![0; 1024];
    let length = stream.read(&mut answer).ok()?;
    answer.truncate(length);
    (length > 0).then_some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn serve_once(answer: &'static str) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 256]);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        port
    }

    #[test]
    fn only_200_is_ready() {
        assert!(http_ok(serve_once("HTTP/1.1 200 OK\r\n\r\n"), "/"));
        assert!(!http_ok(serve_once("HTTP/1.1 503 Busy\r\n\r\n"), "/"));
        assert!(!http_ok(serve_once("x"), "/"));
    }
}
