//! Runs the body of each fuzz target over its checked-in corpus, and over every prefix of it.

use std::fs;
use std::path::PathBuf;

#[path = "../../fuzz/src/deframer.rs"]
mod deframer;
#[path = "../../fuzz/src/dns.rs"]
mod dns;
#[path = "../../fuzz/src/limited.rs"]
mod limited;
#[path = "../../fuzz/src/merge.rs"]
mod merge;
#[path = "../../fuzz/src/opening.rs"]
mod opening;
#[path = "../../fuzz/src/profile.rs"]
mod profile;
#[path = "../../fuzz/src/proxy.rs"]
mod proxy;
#[path = "../../fuzz/src/request.rs"]
mod request;
#[path = "../../fuzz/src/resume.rs"]
mod resume;
#[path = "../../fuzz/src/seatbelt.rs"]
mod seatbelt;

/// Bytes of a file up to which every prefix is tried as well.
const MAX_PREFIXED_BYTES: usize = 1024;

/// Runs `target` over its corpus; panics where the target does, or when there is no corpus.
fn replay(name: &str, target: fn(&[u8])) {
    let tests = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let directory = tests.map(|tests| tests.with_file_name("fuzz").join("corpus").join(name));
    let entries = directory.and_then(|directory| fs::read_dir(directory).ok());
    let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    let inputs: Vec<Vec<u8>> = paths.filter_map(|path| fs::read(path).ok()).collect();
    assert!(!inputs.is_empty(), "the corpus of {name} is empty");
    for input in &inputs {
        target(input);
        (0..input.len().min(MAX_PREFIXED_BYTES)).for_each(|length| target(&input[..length]));
    }
}

#[test]
fn profile_corpus() {
    replay("profile", profile::run);
}

#[test]
fn merge_corpus() {
    replay("merge", merge::run);
}

#[test]
fn seatbelt_corpus() {
    replay("seatbelt", seatbelt::run);
}

#[test]
fn deframer_corpus() {
    replay("deframer", deframer::run);
}

#[test]
fn request_corpus() {
    replay("request", request::run);
}

#[test]
fn resume_corpus() {
    replay("resume", resume::run);
}

#[test]
fn limited_corpus() {
    replay("limited", limited::run);
}

#[test]
fn dns_corpus() {
    replay("dns", dns::run);
}

#[test]
fn opening_corpus() {
    replay("opening", opening::run);
}

#[test]
fn proxy_corpus() {
    replay("proxy", proxy::run);
}
