//! A static server.
