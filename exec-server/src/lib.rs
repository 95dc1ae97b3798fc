//! The privileged composition: loads profiles, decides, launches and supervises commands.

pub mod answer;
#[cfg(target_os = "linux")]
pub mod audit;
#[cfg(target_os = "linux")]
pub mod copies;
#[cfg(target_os = "linux")]
pub mod daemon;
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub mod egress;
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub mod embedded;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod ended;
#[cfg(target_os = "linux")]
mod files;
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub mod launch;
pub mod peer;
pub mod profile;
#[cfg(target_os = "linux")]
pub mod serve;
pub mod stdio;
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub mod wire;
