//! The built-in profiles.

use std::sync::OnceLock;

use weir_protocol::policy::{Layer, Origin};
use weir_protocol::profile::{Document, Format, Source, read};

const TEXT: &str = include_str!("builtin.toml");

/// The name of the one profile under which no rule holds.
pub const FULL_ACCESS: &str = ":danger-full-access";

/// The profile used where nobody chooses one.
pub const DEFAULT: &str = ":workspace";

/// The built-in profiles as a document. Their rules have no place, only the profile's name.
#[must_use]
pub fn document() -> &'static Document {
    static DOCUMENT: OnceLock<Document> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let source = Source::new("built-in", TEXT.as_bytes().to_vec(), Format::Toml, Layer::BuiltIn);
        let mut document = source.ok().and_then(|source| read::read(&source).document).unwrap_or_default();
        for (name, profile) in &mut document.profiles {
            profile.filesystem.values_mut().for_each(|entry| entry.origin.place = None);
            if name == FULL_ACCESS {
                profile.unrestricted = Some(Origin {
                    layer: Layer::BuiltIn,
                    profile: name.clone(),
                    place: None,
                    rule: "no rule holds".to_owned(),
                });
            }
        }
        document
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_is_defined() {
        let names: Vec<_> = document().profiles.keys().map(String::as_str).collect();
        let mut known = weir_protocol::profile::document::BUILT_IN_NAMES;
        known.sort_unstable();
        assert_eq!(names, known);
    }
}
