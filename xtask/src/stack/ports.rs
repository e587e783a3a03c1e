//! Whether the ports are free, and if not, who has them and what to do.

use std::net::{IpAddr, TcpListener};
use std::path::Path;

/// Whoever listens on a port.
#[derive(Debug, PartialEq)]
pub struct Holder {
    pub pid: u32,
    pub name: String,
}

/// Why a port can't be had; `None` if it can.
pub fn taken(address: IpAddr, port: u16, variable: &str) -> Option<String> {
    let error = TcpListener::bind((address, port)).err()?;
    let who = match (error.kind(), holder(port)) {
        (std::io::ErrorKind::AddrInUse, Some(holder)) if holder.name == "docker-proxy" => {
            format!("is held by another container (docker ps --filter publish={port})")
        }
        (std::io::ErrorKind::AddrInUse, Some(holder)) => {
            format!("is held by {} (pid {})", holder.name, holder.pid)
        }
        (std::io::ErrorKind::AddrInUse, None) => {
            format!("is held by a process that can't be seen from here (sudo ss -ltnp 'sport = :{port}')")
        }
        _ => format!("can't be opened: {error}"),
    };
    let advice = match free_from(address, port) {
        Some(other) => format!("set {variable}={other} in .env"),
        None => format!("set {variable} in .env"),
    };
    Some(format!("port {port} {who}; stop it, or {advice}"))
}

/// The process that listens on a port, as far as Linux tells us.
pub fn holder(port: u16) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let sockets: Vec<String> = tables
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|text| listening(&text, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut pids: Vec<u32> = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // A parent opened it; children that were forked later have it too.
    pids.sort_unstable();
    let pid = pids.into_iter().find(|pid| has_one(*pid, &sockets))?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(Holder { pid, name: name.trim().to_owned() })
}

fn has_one(pid: u32, sockets: &[String]) -> bool {
    let Ok(files) = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")) else {
        return false;
    };
    files
        .flatten()
        .filter_map(|file| std::fs::read_link(file.path()).ok())
        .any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str()))
}

/// The sockets of a kernel's table that listen on a port.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTENS: &str = "0A";
    let socket = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, hex) = fields.get(1)?.rsplit_once(':')?;
        let here = u16::from_str_radix(hex, 16).ok()? == port && fields.get(3) == Some(&LISTENS);
        here.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    };
    table.lines().skip(1).filter_map(socket).collect()
}

/// A free port that is easy to remember: ten thousand further, or the next ones.
fn free_from(address: IpAddr, port: u16) -> Option<u16> {
    let first = if port < 55_000 { port + 10_000 } else { port - 10_000 };
    (first..first.saturating_add(100)).find(|port| TcpListener::bind((address, *port)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_held_port_is_told_with_its_holder_and_the_variable() {
        let listener = TcpListener::bind((HERE, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let why = taken(HERE, port, "REDIS_PORT").unwrap();
        assert!(
            why.starts_with(&format!("port {port} is held by ")) && why.contains("set REDIS_PORT="),
            "{why}"
        );
        if Path::new("/proc/net/tcp").exists() {
            assert_eq!(holder(port).unwrap().pid, std::process::id());
            assert!(why.contains(&format!("(pid {})", std::process::id())), "{why}");
        }
        drop(listener);
        assert_eq!(taken(HERE, port, "REDIS_PORT"), None);
        assert_eq!(holder(port), None);
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx rx tr tm retrnsmt   uid  timeout inode\n\
            0: 0100007F:1538 00000000:0000 0A 0:0 00:0 0 0 0 777 1\n\
            1: 0100007F:1538 0100007F:A000 01 0:0 00:0 0 0 0 888 1\n\
            2: 0100007F:1539 00000000:0000 0A 0:0 00:0 0 0 0 999 1\n";
        assert_eq!(listening(table, 5432), ["777"]);
    }

    #[test]
    fn an_address_of_another_machine_is_no_held_port() {
        // 192.0.2.0/24 is for documentation: no machine has it.
        let why = taken(IpAddr::from([192, 0, 2, 1]), 5432, "POSTGRES_PORT").unwrap();
        assert!(why.contains("can't be opened") && why.ends_with("set POSTGRES_PORT in .env"), "{why}");
    }
}
