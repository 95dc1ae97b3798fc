//! Policy to Seatbelt: a pure compiler from a policy to the profile language of macOS.
#![forbid(unsafe_code)]
