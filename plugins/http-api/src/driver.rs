//! The plugin: how it is opened and kept healthy, and how a request is sent.

use crate::config::Config;
use crate::request::Target;
use crate::{error, response};
use chassis_guest::contracts::http::{Method, Response};
use chassis_guest::{Context, Error, Health, Operations, Plugin, Secret};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, SERVER};
use reqwest::{Client, RequestBuilder, Url, redirect, retry};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use std::time::Duration;

/// The plugin.
pub struct HttpApi {
    client: Client,
    base: Url,
    health_path: Option<String>,
    body_limit: u64,
}

impl Plugin for HttpApi {
    type Config = Config;

    fn operations(operations: &mut Operations<Self>) {
        operations.http();
    }

    async fn open(config: Config, _: Context) -> Result<Self, Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let field = format!("headers.{name}");
            let name =
                HeaderName::try_from(name).map_err(|_| Error::invalid(&field, "not the name of a header"))?;
            headers.insert(name, sensitive(&field, value.expose())?);
        }
        if let Some(token) = &config.bearer {
            headers.insert(AUTHORIZATION, sensitive("bearer", &format!("Bearer {}", token.expose()))?);
        }
        let base = base(&config.base_url)?;
        let client = client(&config, headers, base.scheme())?;
        Ok(Self { client, base, health_path: config.health_path, body_limit: config.body_limit })
    }

    async fn health(&self) -> Result<Health, Error> {
        let path = self.health_path.as_deref().unwrap_or("/");
        let request = self.request(Method::Get, Target { path, ..Target::default() })?;
        let answer = request.send().await.map_err(|error| error::sending(error, true))?;
        let status = answer.status();
        if status.is_server_error() || (status.is_client_error() && self.health_path.is_some()) {
            return Err(
                Error::unavailable(format!("the API answered {status} to {path}")).status(status.as_str())
            );
        }
        let server = answer.headers().get(SERVER).and_then(|server| server.to_str().ok());
        let server_version = server.map_or_else(|| format!("{:?}", answer.version()), str::to_owned);
        let details = [("status".to_owned(), status.as_str().to_owned())].into();
        Ok(Health { server_version, details, pool: None })
    }
}

impl HttpApi {
    /// A request to a place below the base URL.
    pub(crate) fn request(&self, method: Method, target: Target<'_>) -> Result<RequestBuilder, Error> {
        let method = match method {
            Method::Get => reqwest::Method::GET,
            Method::Head => reqwest::Method::HEAD,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        // The driver takes user and password out of the URL and makes a header of them.
        Ok(self.client.request(method, target.url(&self.base)?))
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn send(&self, request: RequestBuilder, method: Method) -> Result<Response, Error> {
        let safe = matches!(method, Method::Get | Method::Head);
        let answer = request.send().await.map_err(|error| error::sending(error, safe))?;
        response::read(answer, self.body_limit, safe).await
    }
}

fn base(url: &Secret) -> Result<Url, Error> {
    let url = Url::parse(url.expose())
        .map_err(|error| Error::invalid("base_url", "is not a URL").caused_by(&error))?;
    match url.scheme() {
        "http" | "https" if url.query().is_none() && url.fragment().is_none() => Ok(url),
        "http" | "https" => Err(Error::invalid("base_url", "must end with its path")),
        _ => Err(Error::invalid("base_url", "must begin with http:// or https://")),
    }
}

fn sensitive(field: &str, value: &str) -> Result<HeaderValue, Error> {
    let mut value =
        HeaderValue::try_from(value).map_err(|_| Error::invalid(field, "holds what no header can carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn client(config: &Config, headers: HeaderMap, scheme: &str) -> Result<Client, Error> {
    // There may be one from an earlier instance of this library.
    let _ = ring::default_provider().install_default();
    let mut client = Client::builder()
        .default_headers(headers)
        .user_agent(concat!("chassis/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        // What may be repeated is the host's to decide.
        .retry(retry::never())
        .no_proxy()
        .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
        .pool_max_idle_per_host(config.pool_max_idle)
        .pool_idle_timeout(Duration::from_millis(config.pool_idle_timeout_ms));
    if scheme == "http" {
        // The system's certificates are not needed, so they need not be there.
        let none =
            ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        client = client.tls_backend_preconfigured(none);
    }
    client
        .build()
        .map_err(|error| Error::invalid("base_url", "no client can be made for it").caused_by(&error))
}
