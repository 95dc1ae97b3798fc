//! Sample documents under `samples/`, and what the reader makes of them.

use std::fs;
use std::path::Path;

use weir_protocol::policy::Layer;
use weir_protocol::profile::read::read;
use weir_protocol::profile::{Document, Format, Source};

/// One file of a group.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// The file's name.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

/// What the reader made of a document.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// The document, if it was accepted.
    pub(crate) document: Option<Document>,
    /// Everything that was said, as a person sees it; empty when nothing was.
    pub(crate) message: String,
}

impl Sample {
    /// The notation, by the file's name.
    #[must_use]
    pub(crate) fn format(&self) -> Format {
        if self.name.ends_with(".json") { Format::Json } else { Format::Toml }
    }

    /// The layer, by the file's name: `requirements-…` is the administrator's.
    #[must_use]
    pub(crate) fn layer(&self) -> Layer {
        if self.name.starts_with("requirements-") { Layer::Requirements } else { Layer::User }
    }

    /// The plain values of a file that is proper TOML or JSON.
    #[must_use]
    pub(crate) fn tree(&self) -> Option<serde_json::Value> {
        let text = std::str::from_utf8(&self.bytes).ok()?.trim_start_matches('\u{feff}');
        match self.format() {
            Format::Json => serde_json::from_str(text).ok(),
            Format::Toml => serde_json::to_value(toml::from_str::<toml::Table>(text).ok()?).ok(),
        }
    }

    /// Reads it as the document that it is.
    #[must_use]
    pub(crate) fn read(&self) -> Outcome {
        read_bytes(&self.name, self.bytes.clone(), self.format(), self.layer())
    }
}

/// Reads bytes as a document.
#[must_use]
pub(crate) fn read_bytes(name: &str, bytes: Vec<u8>, format: Format, layer: Layer) -> Outcome {
    match Source::new(name, bytes, format, layer) {
        Err(problem) => Outcome { document: None, message: problem.to_string() },
        Ok(source) => {
            let reading = read(&source);
            Outcome { document: reading.document, message: reading.report.to_string() }
        }
    }
}

/// Every sample of a group, sorted by name.
///
/// # Panics
/// When the directory or a file of it cannot be read.
#[must_use]
pub(crate) fn group(name: &str) -> Vec<Sample> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name);
    let Ok(entries) = fs::read_dir(&directory) else { panic!("{} cannot be read", directory.display()) };
    let mut samples: Vec<Sample> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            fs::read(entry.path()).ok().map(|bytes| Sample { name, bytes })
        })
        .collect();
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    samples
}

/// The document of a valid sample.
///
/// # Panics
/// When there is no such sample or it is refused.
#[must_use]
pub(crate) fn document(name: &str) -> Document {
    let sample = group("valid").into_iter().find(|sample| sample.name == name);
    let Some(sample) = sample else { panic!("there is no sample valid/{name}") };
    let outcome = sample.read();
    let Some(document) = outcome.document else { panic!("{name} is refused:\n{}", outcome.message) };
    document
}

/// A document as text with every origin blanked out, so that two documents that say the same are equal.
#[must_use]
pub(crate) fn without_origins(document: &Document) -> String {
    blank(&format!("{document:#?}"))
}

/// Drops each `Origin { … }` of a pretty debug text: the lines from the one that opens it to the one that closes it at
/// the same depth.
fn blank(text: &str) -> String {
    let mut out = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(head) = line.strip_suffix("Origin {") else {
            out.push(line.to_owned());
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let closes = |inner: &&str| {
            inner.len() - inner.trim_start().len() == indent && inner.trim_start().starts_with('}')
        };
        let _closing = lines.by_ref().find(closes);
        out.push(format!("{head}Origin"));
    }
    out.join("\n")
}
