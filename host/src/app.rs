//! Start-up, draining and stop of a host.
