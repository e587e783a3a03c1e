//! What every plugin of the contract `http` must do.

use crate::Case;

/// The cases.
pub const CASES: &[Case] = &[];
