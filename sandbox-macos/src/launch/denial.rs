//! Denials of one run in the system's log: how they are asked for, and how a message is read.
//!
//! The kernel writes each denial of Seatbelt to the log together with the message of the rule, which is the run's tag. What
//! is read here is told to people and never decides anything. Caller: the exec-server's launcher on macOS.

use crate::compile::RunTag;

/// The program that reads the log.
pub const LOG: &str = "/usr/bin/log";

/// Longest message that is looked at, in bytes: a path and some words.
pub const MAX_MESSAGE_BYTES: usize = 8 << 10;

/// One denial as the kernel told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The program's short name.
    pub program: String,
    /// The process.
    pub pid: u32,
    /// The operation, for instance `file-read-data`.
    pub operation: String,
    /// The path, service or address; empty where there is none.
    pub subject: String,
}

/// The arguments of [`LOG`] that follow the denials of one run, its own name first.
#[must_use]
pub fn stream_arguments(tag: &RunTag) -> Vec<String> {
    let predicate = format!("sender == \"Sandbox\" AND eventMessage ENDSWITH \"{}\"", tag.as_str());
    [LOG, "stream", "--style", "ndjson", "--level", "default", "--predicate", &predicate]
        .map(str::to_owned)
        .to_vec()
}

/// Reads `Sandbox: NAME(PID) deny(N) OPERATION SUBJECT`, with the run's tag behind it. Anything else is `None`.
#[must_use]
pub fn read(message: &str, tag: &RunTag) -> Option<Denial> {
    if message.len() > MAX_MESSAGE_BYTES {
        return None;
    }
    let body = message.trim_end().strip_suffix(tag.as_str())?.trim_end();
    let body = body.strip_prefix("Sandbox: ").unwrap_or(body);
    // A path may hold anything, `) deny(` included: the first one is the kernel's.
    let (process, rest) = body.split_once(") deny(")?;
    let (program, pid) = process.rsplit_once('(')?;
    let (_, rest) = rest.split_once(") ")?;
    let (operation, subject) = rest.split_once(' ').unwrap_or((rest, ""));
    let known = |byte: u8| byte.is_ascii_lowercase() || b"-*".contains(&byte);
    if operation.is_empty() || !operation.bytes().all(known) {
        return None;
    }
    Some(Denial {
        program: program.to_owned(),
        pid: pid.parse().ok()?,
        operation: operation.to_owned(),
        subject: subject.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, expect: Option<(&str, u32, &str, &str)>) {
        let tag = RunTag::parse("weir-7f").unwrap();
        let found = read(message, &tag);
        let found = found.as_ref().map(|denial| {
            (denial.program.as_str(), denial.pid, denial.operation.as_str(), denial.subject.as_str())
        });
        assert_eq!(found, expect, "{message:?}");
    }

    #[test]
    fn messages_of_the_run_are_read() {
        check(
            "Sandbox: cat(311) deny(1) file-read-data /p/.env\nweir-7f",
            Some(("cat", 311, "file-read-data", "/p/.env")),
        );
        check("Sandbox: a b(2) deny(1) sysctl-write\nweir-7f", Some(("a b", 2, "sysctl-write", "")));
        check(
            "cat(3) deny(1) file-read-data /p/x(4) deny(1) y\nweir-7f",
            Some(("cat", 3, "file-read-data", "/p/x(4) deny(1) y")),
        );
        check("Sandbox: cat(311) deny(1) file-read-data /p/.env\nother", None);
        check("Sandbox: cat(311) allow file-read-data /p/.env\nweir-7f", None);
        check("Sandbox: cat(x) deny(1) file-read-data /p\nweir-7f", None);
        check(
            &format!("Sandbox: cat(1) deny(1) file-read-data /{}\nweir-7f", "a".repeat(MAX_MESSAGE_BYTES)),
            None,
        );
    }
}
