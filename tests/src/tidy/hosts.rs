//! Which package registries this machine is set up with, so that their names do not slip into the tree.
//!
//! Asks npm, pip, apt and cargo for their configuration; keeps host names alone, never a user name, a path or a token.
//! No host is excused, and none is listed here: the machine is asked. Caller: `tests/tests/tidy.rs`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use super::Source;

/// How the line of a lock file ends that names cargo's default index.
const DEFAULT_INDEX: &str = "/rust-lang/crates.io-index\"";

/// Programs that print their registry.
const PROGRAMS: [&[&str]; 2] = [&["npm", "config", "get", "registry"], &["pip", "config", "list"]];

/// Files and directories that name package sources.
const FILES: [&str; 4] =
    ["/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/apt.conf.d", "/etc/pip.conf"];

/// Environment variables that name package sources or the proxy to them.
const VARIABLES: [&str; 8] = [
    "CARGO_REGISTRIES_CRATES_IO_INDEX",
    "GOPROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NPM_CONFIG_REGISTRY",
    "PIP_INDEX_URL",
    "RUSTUP_DIST_SERVER",
    "npm_config_registry",
];

/// The hosts of every configured registry, lower case, sorted. A source that is not there adds nothing.
pub fn registry_hosts() -> Vec<String> {
    let mut texts: Vec<String> = PROGRAMS.iter().filter_map(|words| output(words)).collect();
    texts.extend(VARIABLES.iter().filter_map(|name| env::var(name).ok()));
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let cargo = home.map(|home| home.join("config.toml"));
    let files = FILES.iter().map(PathBuf::from).chain(cargo);
    texts.extend(files.flat_map(|path| contents(&path)));
    remote_hosts(&texts)
}

/// A lock file without the name that cargo itself gives its default index, whatever the machine is set up with; every
/// other file, and every other source in a lock file, as it is.
pub fn without_default_index(source: &Source) -> Source {
    let is_lock = source.path == "Cargo.lock" || source.path.ends_with("/Cargo.lock");
    let is_default = |line: &&str| line.starts_with("source = ") && line.ends_with(DEFAULT_INDEX);
    let blank = |line| if is_lock && is_default(&line) { "" } else { line };
    Source::new(&source.path, &source.text.split('\n').map(blank).collect::<Vec<_>>().join("\n"))
}

/// The hosts of all URLs in `texts` that are not of the loopback.
pub fn remote_hosts(texts: &[String]) -> Vec<String> {
    let mut hosts: Vec<String> = texts.iter().flat_map(|text| url_hosts(text)).collect();
    hosts.retain(|host| host.contains('.') && !host.starts_with("127."));
    hosts.sort();
    hosts.dedup();
    hosts
}

/// The host of each URL in `text`, lower case, without user information and port.
fn url_hosts(text: &str) -> Vec<String> {
    let rest = text.split("://").skip(1);
    let authorities =
        rest.map(|rest| rest.split(|end: char| end.is_whitespace() || "/?#\"',;".contains(end)).next());
    authorities
        .flatten()
        .map(|authority| authority.rsplit('@').next().unwrap_or_default())
        .map(|host| host.split(':').next().unwrap_or_default().to_ascii_lowercase())
        .collect()
}

fn output(words: &[&str]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()
}

/// The text of a file, or of each file in a directory.
fn contents(path: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else { return fs::read_to_string(path).into_iter().collect() };
    entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{remote_hosts, without_default_index};
    use crate::tidy::Source;

    #[test]
    fn only_the_default_index_of_a_lock_file_is_passed_over() {
        let line = "source = \"registry+https://git.example.net/rust-lang/crates.io-index\"";
        let other = "source = \"registry+https://git.example.net/index\"";
        let text = format!("{line}\n{other}");
        let left = |path: &str| without_default_index(&Source::new(path, &text)).text;
        assert_eq!(left("fuzz/Cargo.lock"), format!("\n{other}"));
        assert_eq!(left("a.toml"), text);
    }

    #[test]
    fn remote_hosts_are_kept_and_nothing_but_the_host() {
        let text = "registry=https://User:secret@Mirror.Example.net:8443/npm/\n\
            deb [signed-by=/k] http://deb.example.org/debian bookworm main\n\
            global.index-url='https://pip.example.net/simple' http://localhost:3/ http://127.0.0.1/\n\
            sparse+https://mirror.example.net/cargo/ no url here";
        assert_eq!(
            remote_hosts(&[text.to_owned()]),
            ["deb.example.org", "mirror.example.net", "pip.example.net"]
        );
    }
}
