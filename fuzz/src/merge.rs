//! What must hold when any documents are laid over each other. Called by the fuzz target and, over the corpus, by
//! `tests/tests/corpus.rs`.

use weir_exec_server::profile::merge;
use weir_protocol::policy::Layer;
use weir_protocol::profile::read;
use weir_protocol::profile::{Document, Format, Profile, Source};

/// Separates the documents in an input: form feed, which no TOML document holds.
const SEPARATOR: u8 = 0x0c;

/// Layers of an input, weakest first; what lies beyond is not read.
const LAYERS: [Layer; 3] = [Layer::BuiltIn, Layer::User, Layer::Project];

/// Splits `data` into documents, merges those that load, and extends every profile. Nothing may panic; merging is
/// deterministic; the empty profile is neutral on either side; an undefined or circular chain is an error that can be told.
pub(crate) fn run(data: &[u8]) {
    let parts = data.split(|byte| *byte == SEPARATOR).zip(LAYERS);
    let documents: Vec<Document> = parts.filter_map(|(part, layer)| document(part, layer)).collect();
    let profiles = merge::profiles(&documents);
    assert_eq!(profiles, merge::profiles(&documents));
    for (name, profile) in &profiles {
        assert_eq!(merge::over(Profile::default(), profile), *profile);
        assert_eq!(merge::over(profile.clone(), &Profile::default()), *profile);
        match merge::extended(&profiles, name, None) {
            Ok(extended) => assert_eq!(merge::over(extended.clone(), &Profile::default()), extended),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

fn document(bytes: &[u8], layer: Layer) -> Option<Document> {
    let source = Source::new("fuzz", bytes.to_vec(), Format::Toml, layer).ok()?;
    read::read(&source).document
}
