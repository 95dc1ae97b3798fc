//! Policy to Linux kernel: probing the host, compiling a policy into a plan, and entering it.

pub mod bpf;
pub mod doctor;
pub mod host;
pub mod seccomp;
pub mod survey;
mod sys;
