//! What every plugin of the contract `relational` must do.

use crate::Case;

/// The cases.
pub const CASES: &[Case] = &[];
