//! What every plugin of the contract `search` must do.

use crate::Case;

/// The cases.
pub const CASES: &[Case] = &[];
