//! The only place with unsafe code: system calls behind typed functions.

pub(crate) mod abi;
pub(crate) mod ahead;
pub(crate) mod audit;
pub(crate) mod broker;
pub(crate) mod clock;
pub(crate) mod confine;
pub(crate) mod descendants;
mod enter;
pub(crate) mod first;
mod passing;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod sealed;
pub(crate) mod sweeper;
pub(crate) mod walk;
