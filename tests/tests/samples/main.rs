//! Reads every file under `samples/` and compares what the reader says with the goldens.
//!
//! A valid sample gives a document and not one word; an invalid one gives no document and the message in
//! `golden/invalid/`; one with a warning gives a document and the message in `golden/warning/`. `WEIR_BLESS=1` rewrites the
//! goldens. Samples named `requirements-…` are read as the administrator's file.

mod golden;
mod limits;
mod mutations;
mod sample;
mod schema;
mod seatbelt;
mod twins;

use std::collections::BTreeSet;

use sample::{Outcome, Sample};

/// Fewest samples of each large group.
const MIN_SAMPLES: usize = 60;

#[test]
fn valid_samples_load_without_a_word() {
    let samples = sample::group("valid");
    assert!(samples.len() >= MIN_SAMPLES, "{} valid samples", samples.len());
    let wrong: Vec<String> = samples
        .iter()
        .filter_map(|sample| match sample.read() {
            Outcome { document: Some(_), message } if message.is_empty() => None,
            outcome => Some(format!("{}\n{}", sample.name, outcome.message)),
        })
        .collect();
    assert!(wrong.is_empty(), "these should load without a word:\n\n{}", wrong.join("\n"));
}

#[test]
fn invalid_samples_are_refused_with_their_message() {
    let samples = sample::group("invalid");
    assert!(samples.len() >= MIN_SAMPLES, "{} invalid samples", samples.len());
    check_messages("invalid", &samples, Expect::Refusal);
}

#[test]
fn warnings_are_told_and_the_document_is_used() {
    check_messages("warning", &sample::group("warning"), Expect::Document);
}

/// What reading a sample of a group yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Document,
    Refusal,
}

fn check_messages(group: &str, samples: &[Sample], expect: Expect) {
    let mut wrong = Vec::new();
    for sample in samples {
        let outcome = sample.read();
        let found = if outcome.document.is_some() { Expect::Document } else { Expect::Refusal };
        if found != expect {
            wrong.push(format!("{}: {found:?}, not {expect:?}\n{}", sample.name, outcome.message));
        } else if outcome.message.is_empty() {
            wrong.push(format!("{}: nothing was said", sample.name));
        } else if let Err(difference) =
            golden::compare(&format!("{group}/{}.txt", sample.name), &outcome.message)
        {
            wrong.push(difference);
        }
    }
    wrong.extend(stale_goldens(group, samples));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A golden without its sample would stay behind unread.
fn stale_goldens(group: &str, samples: &[Sample]) -> Vec<String> {
    let names: BTreeSet<String> = samples.iter().map(|sample| format!("{}.txt", sample.name)).collect();
    let stale = golden::names(group).into_iter().filter(|name| !names.contains(name));
    stale.map(|name| format!("golden/{group}/{name} has no sample")).collect()
}
