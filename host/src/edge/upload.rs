//! Uploads: lines of JSON that become items, as fast as the plugin takes them.

use super::body;
use super::problem::Problem;
use crate::error::CallError;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use chassis_abi::Code;
use chassis_loader::UploadSender;
use http_body_util::BodyExt;
use std::time::Duration;

/// How much of a body is taken, and how long it may stall.
#[derive(Clone, Copy)]
pub struct Limits {
    /// The longest line.
    pub line: usize,
    /// The longest wait for more.
    pub stall: Duration,
}

/// Hands the body's lines on until it ends, or until the plugin wants no more; the call itself says then why. A body that is not
/// whole is told to the plugin, so that half an upload never looks like a whole one.
pub async fn feed(body: Body, limits: Limits, mut sender: UploadSender) -> Result<(), Problem> {
    let fed = lines(body, limits, &mut sender).await;
    match &fed {
        Ok(()) => sender.finish(),
        Err(_) => sender.fail(CallError::new(Code::Cancelled, "the upload broke off")),
    }
    fed
}

async fn lines(mut body: Body, limits: Limits, sender: &mut UploadSender) -> Result<(), Problem> {
    let mut partial = BytesMut::new();
    loop {
        let Ok(frame) = tokio::time::timeout(limits.stall, body.frame()).await else {
            return Err(body::stalled(limits.stall));
        };
        let Some(frame) = frame else { break };
        let Ok(mut rest) = frame.map_err(|error| body::broken(&error))?.into_data() else { continue };
        while let Some(at) = rest.iter().position(|&byte| byte == b'\n') {
            partial.extend_from_slice(&rest.split_to(at + 1)[..at]);
            if !send(sender, partial.split().freeze(), limits.line).await? {
                return Ok(());
            }
        }
        partial.extend_from_slice(&rest);
        if partial.len() > limits.line {
            return Err(body::too_large(limits.line));
        }
    }
    send(sender, partial.freeze(), limits.line).await?;
    Ok(())
}

/// Whether the plugin still takes items. Empty lines are passed over.
async fn send(sender: &mut UploadSender, line: Bytes, limit: usize) -> Result<bool, Problem> {
    if line.len() > limit {
        return Err(body::too_large(limit));
    }
    if line.trim_ascii().is_empty() {
        return Ok(true);
    }
    Ok(sender.send(line, Bytes::new()).await.is_ok())
}
