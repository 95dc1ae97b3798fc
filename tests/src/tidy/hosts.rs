//! Which package registries this machine is set up with, so that their names do not slip into the tree.
//!
//! Asks npm, pip, apt and cargo for their configuration; keeps host names alone, never a user name, a path or a token.
//! What everybody uses by default is no secret of a machine and is left out. Caller: `tests/tests/tidy.rs`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

/// Hosts that are the default everywhere.
const PUBLIC: [&str; 14] = [
    "crates.io",
    "deb.debian.org",
    "files.pythonhosted.org",
    "ftp.debian.org",
    "github.com",
    "index.crates.io",
    "proxy.golang.org",
    "pypi.org",
    "registry.npmjs.org",
    "security.debian.org",
    "static.crates.io",
    "static.rust-lang.org",
    "www.debian.org",
    "wiki.debian.org",
];

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

/// The hosts of every configured registry, lower case, sorted, without the public ones. A source that is not there adds nothing.
pub fn registry_hosts() -> Vec<String> {
    let mut texts: Vec<String> = PROGRAMS.iter().filter_map(|words| output(words)).collect();
    texts.extend(VARIABLES.iter().filter_map(|name| env::var(name).ok()));
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let cargo = home.map(|home| home.join("config.toml"));
    let files = FILES.iter().map(PathBuf::from).chain(cargo);
    texts.extend(files.flat_map(|path| contents(&path)));
    private_hosts(&texts)
}

/// The hosts of all URLs in `texts` that are neither public nor of the loopback.
pub fn private_hosts(texts: &[String]) -> Vec<String> {
    let mut hosts: Vec<String> = texts.iter().flat_map(|text| url_hosts(text)).collect();
    hosts.retain(|host| host.contains('.') && !PUBLIC.contains(&host.as_str()) && !host.starts_with("127."));
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
    use super::private_hosts;

    #[test]
    fn only_private_hosts_are_kept_and_nothing_but_the_host() {
        let text = "registry=https://User:secret@Mirror.Example.net:8443/npm/\n\
            deb [signed-by=/k] http://deb.debian.org/debian bookworm main\n\
            global.index-url='https://pip.example.net/simple' http://localhost:3/ http://127.0.0.1/\n\
            sparse+https://mirror.example.net/cargo/ no url here";
        assert_eq!(private_hosts(&[text.to_owned()]), ["mirror.example.net", "pip.example.net"]);
    }
}
