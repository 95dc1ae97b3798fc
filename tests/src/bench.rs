//! What benchmarks of several parts are asked for.

/// By how much each count is to be divided (`--quick`), and the parts that are to be measured: each with its word, which `--only` takes.
///
/// # Panics
/// `--only` is followed by no part's word.
#[must_use]
pub fn asked<P: Copy>(parts: &[(&'static str, P)]) -> (usize, Vec<(&'static str, P)>) {
    let words: Vec<String> = std::env::args().collect();
    let scale = if words.iter().any(|word| word == "--quick") { 10 } else { 1 };
    let only = words.iter().position(|word| word == "--only").and_then(|at| words.get(at + 1));
    let chosen: Vec<_> =
        parts.iter().copied().filter(|(word, _)| only.is_none_or(|only| only == word)).collect();
    let all: Vec<&str> = parts.iter().map(|(word, _)| *word).collect();
    assert!(!chosen.is_empty(), "--only takes one of {}", all.join(", "));
    (scale, chosen)
}
