//! What must hold for any bytes that claim to be a profile document. Called by the fuzz target and, over the corpus, by
//! `tests/tests/corpus.rs`.

use weir_protocol::policy::Layer;
use weir_protocol::profile::read::{self, Reading};
use weir_protocol::profile::{Format, MAX_DIAGNOSTICS, Source};

/// Reads `data` in both notations, as a configuration and as a ceiling. The parser must not panic, must report within its
/// bound, must load nothing of a document with errors, and must say the same twice.
pub(crate) fn run(data: &[u8]) {
    for format in [Format::Toml, Format::Json] {
        for layer in [Layer::User, Layer::Requirements] {
            let Ok(source) = Source::new("fuzz", data.to_vec(), format, layer) else { continue };
            let reading = read::read(&source);
            check(&source, &reading);
            let again = read::read(&source);
            assert_eq!(reading.document, again.document);
            assert_eq!(reading.report.to_string(), again.report.to_string());
        }
    }
}

fn check(source: &Source, reading: &Reading) {
    assert!(reading.report.diagnostics.len() <= MAX_DIAGNOSTICS);
    assert_eq!(reading.document.is_none(), reading.report.has_errors());
    let lines = source.text().lines().count() + 1;
    for diagnostic in &reading.report.diagnostics {
        let line = usize::try_from(diagnostic.place.line).unwrap_or(usize::MAX);
        assert!((1..=lines).contains(&line), "a problem at line {line} of {lines}");
        assert!(diagnostic.place.column >= 1);
        assert!(!diagnostic.to_string().is_empty());
    }
}
