//! The contract `http`.

use crate::driver::HttpApi;
use crate::request::{self, Target};
use chassis_guest::contracts::http::{Get, Http, Method, Request, Response};
use chassis_guest::serde_json;
use chassis_guest::{Call, Error};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;

impl Http for HttpApi {
    async fn request(&self, call: Call<'_>, input: Request) -> Result<Response, Error> {
        let target =
            Target { path: &input.path, params: Some(&input.path_params), query: Some(&input.query) };
        let mut headers = headers(&call, &input.headers)?;
        if let Some(key) = call.idempotency_key() {
            let key = HeaderValue::try_from(key)
                .map_err(|_| Error::invalid("idempotency_key", "holds what no header can carry"))?;
            headers.insert(HeaderName::from_static("idempotency-key"), key);
        }
        let mut request = self.request(input.method, target)?;
        if let Some(body) = &input.body {
            let json = serde_json::to_vec(body)
                .map_err(|error| Error::invalid("body", "cannot be written as JSON").caused_by(&error))?;
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
            request = request.body(json);
        }
        self.send(request.headers(headers), input.method).await
    }

    async fn get(&self, call: Call<'_>, input: Get) -> Result<Response, Error> {
        let target =
            Target { path: &input.path, params: Some(&input.path_params), query: Some(&input.query) };
        let request = self.request(Method::Get, target)?.headers(headers(&call, &input.headers)?);
        self.send(request, Method::Get).await
    }
}

fn headers(call: &Call<'_>, input: &BTreeMap<String, String>) -> Result<HeaderMap, Error> {
    let mut headers = request::headers(input)?;
    for (name, value) in call.trace_headers() {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(headers)
}
