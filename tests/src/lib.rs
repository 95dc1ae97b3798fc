//! End-to-end tests: harness, samples, goldens and tidy rules.
#![forbid(unsafe_code)]
