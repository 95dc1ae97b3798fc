//! What the product code of a crate must not name: I/O in `protocol`, starting a process in `agent`, a client of HTTP
//! in `exec-server`. Callers: [`super::RULES`].

use super::paths::{self, NamedPath};
use super::tokens::{self, Scope, Token};
use super::{Finding, Source};

/// What `std::net` shares with `core::net`: addresses as values, which are welcome in `protocol`.
const ADDRESSES: [&str; 6] =
    ["AddrParseError", "IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "Ipv6MulticastScope"];

/// Paths that `protocol` does not name.
const IMPURE: [&[&str]; 10] = [
    &["std", "fs"],
    &["std", "net"],
    &["std", "process"],
    &["std", "env"],
    &["std", "thread"],
    &["std", "os", "unix", "net"],
    &["std", "os", "unix", "process"],
    &["tokio"],
    &["libc"],
    &["nix"],
];

/// Methods of `std::path::Path` that ask the file system, under names that nothing else has.
const IMPURE_METHODS: [&str; 4] = ["symlink_metadata", "read_link", "read_dir", "try_exists"];

/// Paths that `agent` does not name: it asks the exec-server.
const SPAWNING: [&[&str]; 4] = [
    &["std", "process", "Command"],
    &["process", "Command"],
    &["std", "os", "unix", "process", "CommandExt"],
    &["tokio", "process"],
];

/// `protocol` is pure outside its tests.
pub fn check_protocol(source: &Source) -> Vec<Finding> {
    let message = |path: &str| format!("`{path}`: protocol performs no I/O");
    product_tokens(source, "protocol/src/", |tokens| {
        let mut findings = named(source, tokens, &IMPURE, &message);
        let words = tokens.windows(2).filter(|pair| pair[0].is_mark('.'));
        let methods = words.filter(|pair| IMPURE_METHODS.iter().any(|name| pair[1].is_word(name)));
        findings.extend(methods.map(|pair| Finding::new(source, pair[1].line, message(&pair[1].text))));
        let asynchronous = tokens.iter().filter(|token| token.is_word("async"));
        findings.extend(
            asynchronous.map(|token| Finding::new(source, token.line, "protocol holds no async code")),
        );
        findings
    })
}

/// `agent` starts no process outside its tests.
pub fn check_agent(source: &Source) -> Vec<Finding> {
    product_tokens(source, "agent/src/", |tokens| {
        named(source, tokens, &SPAWNING, &|path| {
            format!("`{path}`: the agent starts nothing, it asks the exec-server")
        })
    })
}

/// What `exec-server` names in one place only: the client's half of a conversation over HTTP.
const ASKING: [&[&str]; 1] = [&["hyper", "client"]];

/// `exec-server` asks nothing over HTTP.
pub fn check_exec_server(source: &Source) -> Vec<Finding> {
    product_tokens(source, "exec-server/src/", |tokens| {
        named(source, tokens, &ASKING, &|path| format!("`{path}`: the privileged side is no HTTP client"))
    })
}

fn product_tokens(source: &Source, below: &str, judge: impl Fn(&[Token]) -> Vec<Finding>) -> Vec<Finding> {
    if !source.is_rust() || !source.path.starts_with(below) {
        return Vec::new();
    }
    match tokens::read(source, Scope::Product) {
        Ok(tokens) => judge(&tokens),
        Err(finding) => vec![finding],
    }
}

/// One finding for each path that is, or lies below, one of `banned`.
fn named(
    source: &Source,
    tokens: &[Token],
    banned: &[&[&str]],
    message: &dyn Fn(&str) -> String,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in paths::read(tokens).into_iter().filter(|path| !is_address(path)) {
        let is_below = |prefix: &&&[&str]| {
            let long_enough = path.names.len() > prefix.len() || prefix.len() > 1 || path.is_grouped;
            path.names.len() >= prefix.len()
                && long_enough
                && path.names.iter().zip(**prefix).all(|(a, b)| a == b)
        };
        if let Some(prefix) = banned.iter().find(is_below) {
            findings.push(Finding::new(source, path.line, message(&prefix.join("::"))));
        }
    }
    findings
}

fn is_address(path: &NamedPath) -> bool {
    matches!(path.names.as_slice(), [std, net, name, ..] if std == "std" && net == "net" && ADDRESSES.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::{check_agent, check_exec_server, check_protocol};
    use crate::tidy::check::lines;

    #[test]
    fn protocol_is_pure() {
        let cases: [(&str, &[usize]); 20] = [
            ("use std::fs;", &[1]),
            ("use std::{collections::BTreeMap,\nfs::File, path::Path};", &[2]),
            ("fn f() { std::env::var(\"A\"); }", &[1]),
            ("use std::net::{IpAddr, Ipv4Addr, TcpStream};", &[1]),
            ("use std::net;", &[1]),
            ("use std::net::*;", &[1]),
            ("use std::net::ToSocketAddrs;", &[1]),
            ("use std::net::IpAddr; fn f() -> std::net::Ipv4Addr {}", &[]),
            ("use std::process;", &[1]),
            ("use tokio::io;", &[1]),
            ("\nlibc::getpid();", &[2]),
            ("use nix::fcntl;", &[1]),
            ("path.read_link()", &[1]),
            ("async fn f() {}", &[1]),
            ("use core::net::IpAddr; use std::path::PathBuf;", &[]),
            ("let fs = env(net, process, tokio, libc, nix);", &[]),
            ("// use std::fs;\nlet a = \"std::fs\";", &[]),
            ("/// See [`std::fs`].\nfn f() {}", &[]),
            ("#[cfg(test)] mod tests { use std::fs; }", &[]),
            ("mod config { fn f() { crate::std::fs::g() } }", &[]),
        ];
        for (text, expect) in cases {
            assert_eq!(lines(check_protocol, "protocol/src/a.rs", text), expect, "{text}");
        }
        for path in ["exec-server/src/a.rs", "protocol/tests/a.rs", "protocol/src/a.txt"] {
            assert_eq!(lines(check_protocol, path, "use std::fs;"), [], "{path}");
        }
    }

    #[test]
    fn the_agent_starts_nothing() {
        let cases: [(&str, &[usize]); 6] = [
            ("use std::process::Command;", &[1]),
            ("use std::process::{ExitCode, Command};", &[1]),
            ("use std::process;\nprocess::Command::new(a);", &[2]),
            ("tokio::process::Command::new(a)", &[1]),
            ("use std::process::ExitCode; clap::Command::new(a)", &[]),
            ("#[cfg(test)] mod tests { use std::process::Command; }", &[]),
        ];
        for (text, expect) in cases {
            assert_eq!(lines(check_agent, "agent/src/a.rs", text), expect, "{text}");
        }
        assert_eq!(lines(check_agent, "exec-server/src/a.rs", "use std::process::Command;"), []);
    }

    #[test]
    fn the_privileged_side_asks_nothing_over_http() {
        let cases: [(&str, &[usize]); 4] = [
            ("use hyper::client::conn::http1;", &[1]),
            ("use hyper::{Request,\nclient::conn};", &[2]),
            ("hyper::client::conn::http2::handshake(a)", &[1]),
            ("use hyper::server::conn::http1; use other::client;", &[]),
        ];
        for (text, expect) in cases {
            assert_eq!(lines(check_exec_server, "exec-server/src/a.rs", text), expect, "{text}");
        }
        assert_eq!(lines(check_exec_server, "agent/src/a.rs", "use hyper::client;"), []);
    }
}
