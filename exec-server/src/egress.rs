//! The network gate: what a sandbox may reach, and how.

pub mod authority;
pub mod inspect;
