//! `copy` access: changes of commands are kept beside the directory, shown, applied, discarded; what is closed is closed in the copy.

mod closed;
mod conflicts;
mod kinds;
mod killed;
mod kept;
mod refused;
mod settle;
