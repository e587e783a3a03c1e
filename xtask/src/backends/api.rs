//! The HTTP API that the demo calls: nginx over `api_responses/`.

use std::process::Command;

use anyhow::{Context, Result};

use super::backend::{Backend, Site};
use super::probe::http_ok;
use crate::place::{on_path, root};
use crate::run::detached;

pub struct Api;

impl Backend for Api {
    fn name(&self) -> &'static str {
        "api"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["http-api", "nginx"]
    }

    fn variable(&self) -> &'static str {
        "CHASSIS_API_URL"
    }

    fn usual_ports(&self) -> &'static [u16] {
        &[18080]
    }

    fn missing_packages(&self) -> Vec<&'static str> {
        if on_path("nginx").is_some() { vec![] } else { vec!["nginx-light"] }
    }

    fn launch(&self, site: &Site, spawn: &mut dyn FnMut(Command) -> Result<()>) -> Result<()> {
        std::fs::write(site.folder.join("nginx.conf"), configuration(site))?;
        let mut command =
            detached(on_path("nginx").context("nginx is not on PATH")?, &site.folder, &site.log)?;
        command.arg("-p").arg(&site.folder).args(["-c", "nginx.conf", "-e", "stderr"]);
        spawn(command)
    }

    fn ready(&self, site: &Site) -> bool {
        http_ok(site.port(), "/health")
    }

    fn url(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }
}

fn configuration(site: &Site) -> String {
    // One process only: a killed master would leave workers behind that hold the port.
    let port = site.port();
    let responses = root().join("api_responses");
    let responses = responses.display();
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    default_type application/json;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        root \"{responses}\";
    }}
}}
"
    )
}
