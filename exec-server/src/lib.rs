//! The privileged composition: loads profiles, decides, launches and supervises commands.

pub mod answer;
pub mod profile;
pub mod stdio;
