//! What every plugin of the contract `queue` must do.

use crate::Case;

/// The cases.
pub const CASES: &[Case] = &[];
