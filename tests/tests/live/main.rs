//! Live rules, end to end: patterns and `none` hold for what appears, moves or gets further names while a command runs.
//!
//! A shell inside is asked for one act after another while the host changes files around it. Every refusal has a control: the same act by
//! the same user without Weir succeeds at that very moment.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod beside;
mod given_up;
mod inside;
mod later;
mod many;
mod names;
mod race;
mod unlisted;
mod work;
