//! Threads: conversations that are kept.

mod id;

pub use id::{IdError, ThreadId, TurnId};
