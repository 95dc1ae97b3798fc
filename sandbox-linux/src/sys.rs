//! The only place with unsafe code: system calls behind typed functions.

pub(crate) mod broker;
pub(crate) mod probe;
