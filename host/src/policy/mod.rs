//! What protects a call, as a list of reasons.
