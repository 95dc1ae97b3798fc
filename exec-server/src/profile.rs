//! From files to a policy: which files count, how they are put together, and what they mean on this host.
//!
//! [`load`] finds and reads the layers, [`merge`] folds them and the profiles that extend each other into one,
//! [`resolve`] gives every rule its absolute place, and [`ceiling`] holds the result below the administrator's limit.
//! Only [`load`] and [`surroundings`] touch the host; the rest is pure.

pub mod builtin;
pub mod ceiling;
mod command_line;
pub mod load;
pub mod merge;
pub mod places;
pub mod resolve;
pub mod standing;
pub mod surroundings;

pub use command_line::CommandLineError;
pub use load::{LoadError, Loaded, Selection};
pub use surroundings::{Surroundings, Terrain};
