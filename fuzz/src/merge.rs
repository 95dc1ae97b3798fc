//! What must hold when any documents are laid over each other. Called by the fuzz target and, over the corpus, by
//! `tests/tests/corpus.rs`.

use weir_exec_server::profile::merge;
use weir_exec_server::profile::resolve::resolve;
use weir_exec_server::profile::surroundings::{Links, Surroundings};
use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Host, Layer, Operation, Policy, Request};
use weir_protocol::profile::read;
use weir_protocol::profile::{Document, Format, Profile, Source};

/// Separates the documents in an input: form feed, which no TOML document holds.
const SEPARATOR: u8 = 0x0c;

/// Layers of an input, weakest first; what lies beyond is not read.
const LAYERS: [Layer; 3] = [Layer::BuiltIn, Layer::User, Layer::Project];

/// Splits `data` into documents, merges those that load, and extends every profile. Nothing may panic; merging is
/// deterministic; the empty profile is neutral on either side; an undefined or circular chain is an error that can be told.
/// What extends is resolved and asked as well, and so is `data` as a policy by value.
pub(crate) fn run(data: &[u8]) {
    let parts = data.split(|byte| *byte == SEPARATOR).zip(LAYERS);
    let documents: Vec<Document> = parts.filter_map(|(part, layer)| document(part, layer)).collect();
    let profiles = merge::profiles(&documents);
    assert_eq!(profiles, merge::profiles(&documents));
    for (name, profile) in &profiles {
        assert_eq!(merge::over(Profile::default(), profile), *profile);
        assert_eq!(merge::over(profile.clone(), &Profile::default()), *profile);
        match merge::extended(&profiles, name, None) {
            Ok(extended) => {
                assert_eq!(merge::over(extended.clone(), &Profile::default()), extended);
                resolved(name, &extended);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    if let Ok(policy) = serde_json::from_slice::<Policy>(data) {
        asked(&policy);
    }
}

/// Resolves a profile on a host without symbolic links. What has no meaning there is an error that can be told.
fn resolved(name: &str, profile: &Profile) {
    let path = |text: &str| AbsPath::parse(text).unwrap_or_else(|_| AbsPath::root());
    let around = Surroundings {
        home: path("/home/u"),
        cwd: path("/p"),
        project_roots: vec![path("/p")],
        tmpdir: Some(path("/tmp/u")),
        weir_home: path("/home/u/.weir"),
        other_homes: Vec::new(),
    };
    match resolve(name, profile, &around, &Links::default()) {
        Ok(resolved) => asked(&resolved.policy),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The laws of any policy: it keeps its digest through JSON, lies within itself, and answers every question.
fn asked(policy: &Policy) {
    let text = serde_json::to_string(policy).unwrap_or_default();
    let again: Option<Policy> = serde_json::from_str(&text).ok();
    assert_eq!(again.map(|again| again.digest()), Some(policy.digest()));
    assert!(policy.narrower_than(policy));
    for text in ["/", "/p", "/p/a.env", "/etc/shadow", "/home/u/.ssh/id", "/usr/bin/env"] {
        let Ok(path) = AbsPath::parse(text) else { continue };
        let explained = policy.explain(&Request::Path { path: &path, operation: Operation::Read });
        assert_eq!(explained.allowed, policy.access(&path) > Access::None);
        let _ = policy.explain(&Request::UnixSocket { path: &path });
    }
    for text in ["example.org", "10.0.0.1", "localhost"] {
        let Ok(host) = Host::parse(text) else { continue };
        let _ = policy.explain(&Request::Connect { host: &host, port: 443 });
    }
    let _ = policy.explain(&Request::Environment { name: "PATH" });
}

fn document(bytes: &[u8], layer: Layer) -> Option<Document> {
    let source = Source::new("fuzz", bytes.to_vec(), Format::Toml, layer).ok()?;
    read::read(&source).document
}
