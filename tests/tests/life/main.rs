//! The end of a sandbox, whatever ends it: nothing of it is left a moment later.
#![cfg(target_os = "linux")]

mod kin;
mod struck;
