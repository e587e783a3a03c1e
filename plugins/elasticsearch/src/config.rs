//! Settings.

use chassis_guest::{Error, Secret};
use elasticsearch::Elasticsearch;
use elasticsearch::auth::Credentials;
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::transport::{SingleNodeConnectionPool, TransportBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the server is: `http[s]://[user:password@]host:port`.
    pub url: Secret,
    /// The user, when it is not part of the URL.
    #[serde(default)]
    pub username: Option<String>,
    /// The user's password, when it is not part of the URL.
    #[serde(default)]
    pub password: Option<Secret>,
    /// An API key (encoded, as Elasticsearch shows it), instead of a user.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// Certificates to trust (a PEM file), instead of the public ones.
    #[serde(default)]
    pub tls_ca_file: Option<PathBuf>,
    /// No request takes longer, in milliseconds, whatever its caller's deadline.
    #[serde(default = "request_timeout")]
    pub request_timeout_ms: u64,
}

impl Config {
    /// A client for the server; it connects to nothing yet.
    pub fn client(&self) -> Result<Elasticsearch, Error> {
        let url = Url::parse(self.url.expose()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let mut url = url.ok_or_else(|| Error::invalid("url", "not the URL of an Elasticsearch server"))?;
        let credentials = self.credentials(&url);
        // Only an URL that cannot have credentials refuses to lose them.
        let _ = (url.set_username(""), url.set_password(None));
        let timeout = Duration::from_millis(self.request_timeout_ms);
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url)).timeout(timeout);
        if let Some(credentials) = credentials {
            builder = builder.auth(credentials);
        }
        if let Some(path) = &self.tls_ca_file {
            let wrong = || Error::invalid("tls_ca_file", format!("cannot use {}", path.display()));
            let pem = std::fs::read(path).map_err(|error| wrong().caused_by(&error))?;
            let certificate = Certificate::from_pem(&pem).map_err(|error| wrong().caused_by(&error))?;
            builder = builder.cert_validation(CertificateValidation::Full(certificate));
        }
        let transport = builder.build();
        let refused = |_| Error::invalid("url", "the client refuses the settings");
        Ok(Elasticsearch::new(transport.map_err(refused)?))
    }

    fn credentials(&self, url: &Url) -> Option<Credentials> {
        if let Some(key) = &self.api_key {
            return Some(Credentials::EncodedApiKey(key.expose().to_owned()));
        }
        let in_url = (!url.username().is_empty()).then(|| url.username().to_owned());
        let user = self.username.clone().or(in_url)?;
        let password = self.password.as_ref().map(|password| password.expose().to_owned());
        let password = password.or_else(|| url.password().map(str::to_owned)).unwrap_or_default();
        Some(Credentials::Basic(user, password))
    }
}

fn request_timeout() -> u64 {
    30_000
}
