//! Policy to Linux kernel: probing the host, compiling a policy into a plan, and entering it.
#![cfg(target_os = "linux")]

pub mod audit;
pub mod bpf;
pub mod broker;
pub mod compile;
pub mod confine;
pub mod control;
pub mod doctor;
pub mod ending;
pub mod gate;
pub mod group;
pub mod host;
pub mod live;
pub mod mounts;
mod pattern;
pub mod plan;
pub mod prepare;
pub mod seccomp;
pub mod start;
pub mod step;
pub mod survey;
mod sys;
