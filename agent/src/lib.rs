//! The thin client: command line, and typed requests to the exec-server.
//!
//! Nothing here decides what is allowed and nothing here starts a command: it asks.
#![forbid(unsafe_code)]

pub mod approval;
pub mod cli;
pub mod configuration;
pub mod confine;
pub mod delegate;
pub mod demo;
mod denial;
pub mod exec;
pub mod executor;
pub mod item;
pub mod learn;
pub mod link;
pub mod model;
pub mod run;
mod shown;
pub mod thread;
pub mod tool;
pub mod trust;
pub mod turn;
