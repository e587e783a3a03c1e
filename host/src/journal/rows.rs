//! Rows of both databases, read by one code.

use super::record::{EntryRow, FlowVersion, RunRow};
use crate::flow::state::RunState;
use sqlx::{ColumnIndex, Decode, Row, Type};
use std::sync::Arc;

/// The columns of a run, in the order in which they are read and written.
pub const RUN: &str = "id, flow, version, tenant, key, body, state, input, context, parent, output, error, cancel, \
    created, updated, ended, owner, fence";
/// The columns of an entry.
pub const ENTRY: &str = "seq, kind, step, payload, at";

pub fn run<R>(row: &R) -> Result<RunRow, sqlx::Error>
where
    R: Row,
    usize: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
{
    let id: String = row.try_get(0)?;
    let state: String = row.try_get(6)?;
    let unknown =
        || sqlx::Error::Decode(format!("run {id} is in a state that is not known: `{state}`").into());
    Ok(RunRow {
        id: Arc::from(id.as_str()),
        flow: row.try_get(1)?,
        version: row.try_get(2)?,
        tenant: row.try_get(3)?,
        key: row.try_get(4)?,
        body: row.try_get(5)?,
        state: RunState::named(&state).ok_or_else(unknown)?,
        input: row.try_get(7)?,
        context: row.try_get(8)?,
        parent: row.try_get(9)?,
        output: row.try_get(10)?,
        error: row.try_get(11)?,
        cancel: row.try_get(12)?,
        created: row.try_get(13)?,
        updated: row.try_get(14)?,
        ended: row.try_get(15)?,
        owner: row.try_get(16)?,
        fence: row.try_get(17)?,
    })
}

pub fn entry<R>(row: &R) -> Result<EntryRow, sqlx::Error>
where
    R: Row,
    usize: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
{
    Ok(EntryRow {
        seq: row.try_get(0)?,
        kind: row.try_get(1)?,
        step: row.try_get::<Option<String>, _>(2)?.map(Arc::from),
        payload: row.try_get(3)?,
        at: row.try_get(4)?,
    })
}

pub fn version<R>(row: &R) -> Result<FlowVersion, sqlx::Error>
where
    R: Row,
    usize: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
{
    Ok(FlowVersion { hash: row.try_get(0)?, name: row.try_get(1)?, text: row.try_get(2)? })
}
