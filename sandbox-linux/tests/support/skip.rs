//! Says what cannot be tested here, and why. Skips are accounted for in `tests/expected-skips.txt`.

/// Records a skip; `test_id` is one word, `area::case`.
pub(crate) fn skip(test_id: &str, reason: &str) {
    weir_tests::skip(test_id, reason);
}
