//! Policy to Linux kernel: probing the host, compiling a policy into a plan, and entering it.

pub mod bpf;
pub mod broker;
pub mod doctor;
pub mod host;
pub mod seccomp;
mod sys;
