//! Settings as they are shown.
