//! The privileged composition: loads profiles, decides, launches and supervises commands.

pub mod answer;
pub mod embedded;
pub mod launch;
pub mod profile;
pub mod stdio;
pub mod wire;
