//! Packages of npm for the tests, fetched once by npm itself.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// The server that others wrote, and the client.
const PACKAGES: [&str; 2] = ["@copilotkit/aimock@1.43.0", "@openai/codex-sdk@0.163.0"];

/// The directory in which the packages are; none where npm cannot fetch them.
fn packages() -> Option<PathBuf> {
    static FETCHED: OnceLock<Option<PathBuf>> = OnceLock::new();
    FETCHED.get_or_init(fetch).clone()
}

fn fetch() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ready = root.join("npm-1.43.0-0.163.0");
    if ready.is_dir() {
        return Some(ready);
    }
    // Tests run as processes: each fetches for itself, and the first that is done is the one.
    let own = tempfile::tempdir_in(root).ok()?;
    let fetched = Command::new("npm")
        .args([
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--omit=optional",
            "--fetch-retries=0",
            "--prefix",
        ])
        .arg(own.path())
        .args(PACKAGES)
        .stdout(Stdio::null())
        .status()
        .ok()?;
    if !fetched.success() {
        return None;
    }
    match std::fs::rename(own.path(), &ready) {
        Ok(()) => drop(own.keep()),
        Err(_) if ready.is_dir() => {}
        Err(_) => return None,
    }
    Some(ready)
}

/// A script of this directory, where its packages are; none, and a skip, where they cannot be had.
pub(crate) fn script(test: &str, name: &str) -> Option<PathBuf> {
    let Some(packages) = packages() else {
        weir_tests::skip(&format!("exec::{test}"), "npm cannot fetch the packages");
        return None;
    };
    // As it is now, not as it was when the packages were fetched.
    let text = if name == "mock.mjs" { include_str!("mock.mjs") } else { include_str!("sdk.mjs") };
    let path = packages.join(format!("{}-{name}", blake3::hash(text.as_bytes()).to_hex()));
    std::fs::write(&path, text).unwrap();
    Some(path)
}

/// A server that answers as a model.
pub(crate) struct Mock {
    child: Child,
    pub(crate) url: String,
}

impl Mock {
    pub(crate) fn start(test: &str) -> Option<Self> {
        let script = script(test, "mock.mjs")?;
        let mut child =
            Command::new("node").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut url).unwrap();
        Some(Self { child, url: url.trim().to_owned() })
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}
