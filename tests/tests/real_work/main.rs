//! Real programs do their work inside: what people and agents run all day, as root and as an ordinary user, under `:workspace` and under
//! the file rules of the example profile. Each does the same outside first: that it works there is the control, and what it answers
//! there is what it must answer inside.
#![cfg(target_os = "linux")]

mod build;
mod edit;
mod ipc;
mod output;
mod work;
