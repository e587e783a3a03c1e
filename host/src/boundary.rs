//! Stands in until chassis-loader has its API; then deleted.
#![allow(missing_docs)]
use bytes::Bytes;
use chassis_abi::Code;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct CallError {
    pub code: Code,
    pub message: String,
    pub retryable: bool,
    pub maybe_applied: bool,
    pub causes: Vec<String>,
    pub status: Option<String>,
    pub retry_after: Option<Duration>,
    pub field: Option<String>,
}
#[derive(Default)]
pub struct Reply {
    json: Bytes,
    raw: Bytes,
    pub stream: Option<ItemStream>,
}
impl Reply {
    pub fn json(&self) -> &[u8] {
        &self.json
    }
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }
}
pub struct ItemStream;
impl ItemStream {
    pub fn grant(&mut self, _n: u32) {}
    pub async fn next(&mut self) -> Option<Result<Reply, CallError>> {
        None
    }
}
pub struct Upload;
