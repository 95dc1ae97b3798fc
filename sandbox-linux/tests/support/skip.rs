//! Says what cannot be tested here, and why. Skips are accounted for in `tests/expected-skips.txt`.

pub(crate) use weir_tests::skip;
