//! Benchmarks of the policy language.

fn main() {}
