//! The only place with unsafe code: system calls behind typed functions.

pub(crate) mod probe;
pub(crate) mod walk;
