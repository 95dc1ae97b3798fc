//! What calls a call off, and what does not; the rest is tried in a sandbox by the tests of the whole.

use std::fs;
use std::io::{PipeWriter, Write as _};

use weir_protocol::frame;
use weir_protocol::method::file::{Copy, Directory, Existing, Extent, Glob, PassedOver, Search};

use super::*;
use crate::files::Failure;
use crate::serve::contexts::tests::policy;

/// A worker without a sandbox, and the way to it.
fn worker(place: &AbsPath) -> (Worker, PipeWriter) {
    let (input, to) = std::io::pipe().unwrap();
    let (_, output) = std::io::pipe().unwrap();
    let policy = policy(&[&place.to_string()]);
    (Worker { link: Link::over(input.into(), output.into()), policy }, to)
}

fn fault<T>(outcome: Outcome<T>) -> Option<Fault> {
    outcome.err().map(|Failure { fault, .. }| fault)
}

/// What each of the calls that may take long comes to.
fn faults(place: &AbsPath, worker: &Worker) -> [Option<Fault>; 4] {
    let (root, to) = (place.join("tree").unwrap(), place.join("copy").unwrap());
    let directory = Directory { path: root.clone(), after: None, limit: None };
    let glob =
        Glob { root: root.clone(), patterns: vec!["**".to_owned()], scope: PassedOver::All, limit: None };
    let search: Search = serde_json::from_value(serde_json::json!({ "root": root, "pattern": "x" })).unwrap();
    let copied = Copy { from: root, to, existing: Existing::Replace, extent: Extent::Tree };
    [
        fault(list::list(&directory, worker)),
        fault(find::glob(&glob, worker)),
        fault(search::search(&search, worker)),
        fault(copy::copy(&copied, worker)),
    ]
}

#[test]
fn whatever_comes_meanwhile_calls_a_call_off_and_so_does_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let place = AbsPath::from_host(&fs::canonicalize(dir.path()).unwrap()).unwrap();
    fs::create_dir_all(dir.path().join("tree/sub")).unwrap();
    fs::write(dir.path().join("tree/sub/a"), "x").unwrap();
    let (worker, mut to) = worker(&place);
    assert_eq!(faults(&place, &worker), [const { None }; 4]);
    to.write_all(&frame::control(b"").unwrap()).unwrap();
    assert_eq!(faults(&place, &worker), [const { Some(Fault::CalledOff) }; 4]);
    let mut worker = worker;
    assert_eq!(worker.link.next().unwrap().as_deref(), Some(&b""[..]));
    assert_eq!(faults(&place, &worker), [const { None }; 4]);
    drop(to);
    assert_eq!(faults(&place, &worker), [const { Some(Fault::CalledOff) }; 4]);
    assert_eq!(worker.link.next().unwrap(), None);
}
