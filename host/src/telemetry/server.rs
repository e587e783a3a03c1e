//! `http.server.*` for the edge.

use super::Telemetry;
use super::failure::ByKey;
use super::http::{METHODS, number};
use super::metrics::label;
use super::span::SpanGuard;
use ::metrics::{Histogram, Label};
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanKind};
use std::sync::Arc;
use std::time::Duration;

/// A request that the edge answers. Dropped unfinished, its client went away, and nothing is measured.
pub struct ServerSpan {
    guard: SpanGuard,
    route: Arc<Route>,
    method: u8,
}

/// A route of the edge: its template (`/v1/flows/{flow}`), or none for what no route matches. Made once, when routes are.
pub struct Route {
    telemetry: Telemetry,
    template: Option<Box<str>>,
    handles: ByKey<Histogram>,
}

/// What the edge knows of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerRequest<'a> {
    /// Method.
    pub method: &'a str,
    /// Path without query.
    pub path: &'a str,
    /// Host of the `Host` header, without port.
    pub host: Option<&'a str>,
    /// Port that was connected to.
    pub port: Option<u16>,
    /// Address of the client.
    pub client: Option<&'a str>,
    /// `User-Agent`.
    pub user_agent: Option<&'a str>,
}

impl Telemetry {
    /// Prepares a route.
    pub fn route(&self, template: Option<&str>) -> Arc<Route> {
        let template = template.map(Box::from);
        Arc::new(Route { telemetry: self.clone(), template, handles: ByKey::new() })
    }
}

impl Route {
    /// A request begins.
    pub fn start(self: &Arc<Self>, request: ServerRequest<'_>, parent: &SpanContext) -> ServerSpan {
        let method = number(request.method);
        let mut guard = SpanGuard::start(self.telemetry.clone(), "", SpanKind::Server, parent, []);
        if guard.is_recording() {
            let shown = if method == 0 { "HTTP" } else { METHODS[usize::from(method)] };
            match &self.template {
                Some(template) => guard.rename(format!("{shown} {template}")),
                None => guard.rename(shown),
            }
            for attribute in self.attributes(request, method) {
                guard.set(attribute.key, attribute.value);
            }
        }
        ServerSpan { guard, route: self.clone(), method }
    }

    fn attributes(&self, request: ServerRequest<'_>, method: u8) -> Vec<KeyValue> {
        let text = |name: &'static str, value: Option<&str>| {
            value.map(|value| KeyValue::new(name, value.to_owned()))
        };
        let mut attributes = vec![
            KeyValue::new("http.request.method", METHODS[usize::from(method)]),
            KeyValue::new("url.path", request.path.to_owned()),
            KeyValue::new("url.scheme", "http"),
        ];
        attributes.extend(text("http.route", self.template.as_deref()));
        attributes.extend(text("server.address", request.host));
        attributes.extend(request.port.map(|port| KeyValue::new("server.port", i64::from(port))));
        attributes.extend(text("client.address", request.client));
        attributes.extend(text("user_agent.original", request.user_agent));
        attributes
    }

    fn measure(&self, method: u8, status: u16, elapsed: Duration) {
        let make = || {
            let mut labels = vec![
                Label::from_static_parts("http_request_method", METHODS[usize::from(method)]),
                Label::from_static_parts("url_scheme", "http"),
                label("http_response_status_code", &status.to_string()),
            ];
            labels.extend(self.template.as_deref().map(|route| label("http_route", route)));
            labels.extend((status >= 500).then(|| label("error_type", &status.to_string())));
            self.telemetry.metrics().histogram("http_server_request_duration_seconds", labels)
        };
        let key = u32::from(method) << 16 | u32::from(status);
        self.handles.with(key, make, |handle| handle.record(elapsed.as_secs_f64()));
    }
}

impl ServerSpan {
    /// What the request causes is below this.
    pub fn context(&self) -> &SpanContext {
        self.guard.context()
    }

    /// The span, to say more of it.
    pub fn span(&mut self) -> &mut SpanGuard {
        &mut self.guard
    }

    /// The request was answered. Only a failure of our own (500 and above) is an error of the server's.
    pub fn finish(mut self, status: u16) {
        self.guard.set("http.response.status_code", i64::from(status));
        if status >= 500 {
            self.guard.fail(status.to_string(), "");
        }
        self.route.measure(self.method, status, self.guard.elapsed());
    }
}
