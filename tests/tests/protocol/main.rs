//! docs/PROTOCOL.md says of methods, types, errors and limits what the code says: its tables are made from it.
//!
//! `WEIR_BLESS=1` writes them; the result is to be read before it is committed.
#![expect(clippy::unwrap_used, reason = "a test may panic outside its #[test] functions too")]

mod source;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use similar::TextDiff;

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PROTOCOL.md")
}

/// The text with what stands between the markers of `name` replaced.
fn replaced(text: &str, name: &str, with: &str) -> String {
    let (begin, end) = (format!("<!-- {name}:begin -->\n"), format!("<!-- {name}:end -->"));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("PROTOCOL.md has no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("PROTOCOL.md has no {end}"));
    format!("{before}{begin}{with}{end}{after}")
}

#[test]
fn the_document_says_what_the_code_says() {
    let written = fs::read_to_string(document()).unwrap();
    let mut found = written.clone();
    for (name, table) in table::all() {
        assert!(table.lines().count() > 3, "{name} is empty");
        found = replaced(&found, name, &table);
    }
    if found == written {
        return;
    }
    if std::env::var_os("WEIR_BLESS").is_some_and(|value| value == "1") {
        return fs::write(document(), found).unwrap();
    }
    let difference = TextDiff::from_lines(written.as_str(), found.as_str());
    let mut unified = difference.unified_diff();
    unified.context_radius(3).header("docs/PROTOCOL.md", "the code");
    panic!("WEIR_BLESS=1 writes the tables anew:\n{unified}");
}

#[test]
fn every_method_has_its_result_and_every_type_its_words() {
    let methods = source::methods();
    assert!(methods.len() > 20, "{}", methods.len());
    for method in &methods {
        assert!(!method.doc.is_empty(), "{} says nothing", method.name);
    }
    for item in source::types().values() {
        assert!(!item.doc.is_empty(), "{} says nothing", item.name);
        for field in &item.fields {
            assert!(!field.doc.is_empty(), "{}::{} says nothing", item.name, field.name);
        }
    }
}
