//! The thin client: command line, model turns, and typed requests to the exec-server.
#![forbid(unsafe_code)]
