//! The privileged composition: loads profiles, decides, launches and supervises commands.

pub mod answer;
#[cfg(target_os = "linux")]
pub mod audit;
#[cfg(target_os = "linux")]
pub mod daemon;
#[cfg(target_os = "linux")]
pub mod embedded;
#[cfg(target_os = "linux")]
pub mod launch;
pub mod profile;
#[cfg(target_os = "linux")]
mod serve;
pub mod stdio;
#[cfg(target_os = "linux")]
pub mod wire;
