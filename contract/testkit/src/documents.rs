//! What every plugin of the contract `documents` must do.

use crate::Case;

/// The cases.
pub const CASES: &[Case] = &[];
