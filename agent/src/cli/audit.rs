//! `weir audit`: reads and filters what the exec-server has recorded. It reads files and asks nobody, so it takes the right to
//! read them.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use weir_protocol::audit::{
    Action, FILE_NAME, KEPT_FILES, LeaseRecord, MAX_LINE_BYTES, Reach, Record, SYSTEM_STATE, aside,
};
use weir_protocol::method::process::End;
use weir_protocol::policy::lease::Grant;

use super::since::{NoTime, since};
use super::{Exit, output};
use crate::denial;

/// Where users have names (passwd(5)).
const PASSWD: &str = "/etc/passwd";

/// A line may hold the remains of a record that was cut off, and a whole one behind them.
const LINE_BYTES: u64 = 2 * MAX_LINE_BYTES as u64;

/// Which records, and how they are shown.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir audit --user alice --since 1h\n  weir audit --action refuse --json\n  weir audit --since 2026-11-28T09:00 /var/lib/weir/audit.jsonl\n\nFiles that were set aside (FILE.4 to FILE.1) are read before FILE.\n\nExit codes: 0 read, 2 a file or an option cannot be used."
)]
pub(super) struct AuditOptions {
    /// Print each record as the line of JSON that it is
    #[arg(long)]
    json: bool,
    /// Those of this user alone: a number, or a name of /etc/passwd
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Those of this time and later: `2026-11-28`, `2026-11-28T09:30` (UTC), or so long ago: `90m`
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Those of this kind alone
    #[arg(long, value_name = "ACTION", value_parser = action)]
    action: Option<Action>,
    /// The log [default: that of the system's server, or of the caller's own]
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Option<PathBuf>,
}

fn action(text: &str) -> Result<Action, String> {
    let names = Action::ALL.map(Action::name).join(", ");
    let found = Action::ALL.into_iter().find(|action| action.name() == text);
    found.ok_or_else(|| format!("the actions are {names}"))
}

/// Why records cannot be shown.
#[derive(Debug, thiserror::Error)]
enum AuditError {
    #[error("{0}")]
    Since(#[from] NoTime),
    #[error("there is no user `{0}` in {PASSWD}; the number of one from elsewhere can be given")]
    User(String),
    #[error("there is no log: name the FILE")]
    NoPlace,
    #[error("cannot read {}: {source}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write: {0}")]
    Write(io::Error),
}

/// Shows what was asked for.
pub(super) fn run(options: &AuditOptions) -> Exit {
    match show(options, &mut io::stdout().lock()) {
        Ok(0) => Exit::Success,
        Ok(unread) => output::message(&format!("warning: {unread} lines are no records"), Exit::Success),
        Err(AuditError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error @ AuditError::Write(_)) => output::message(&format!("error: {error}"), Exit::Failed),
        Err(error) => output::message(&format!("error: {error}"), Exit::BadInput),
    }
}

/// Answers with the number of lines that are no records.
fn show(options: &AuditOptions, out: &mut impl Write) -> Result<u64, AuditError> {
    let file = options.file.clone().or_else(default_file).ok_or(AuditError::NoPlace)?;
    let since = options.since.as_deref().map(since).transpose()?;
    let user = options.user.as_deref().map(user).transpose()?;
    let wanted = |record: &Record| {
        user.is_none_or(|uid| record.uid == uid)
            && options.action.is_none_or(|action| record.action == action)
            && since.as_ref().is_none_or(|since| since.has_come(&record.time))
    };
    let mut unread = 0;
    let older = (1..=KEPT_FILES).rev().map(|number| aside(&file, number));
    for path in older.filter(|path| path.exists()).chain([file.clone()]) {
        unread += each(&path, |record| {
            if !wanted(record) {
                return Ok(());
            }
            let line =
                if options.json { record.line().unwrap_or_default() } else { text(record).into_bytes() };
            out.write_all(&line).map_err(AuditError::Write)
        })?;
    }
    out.flush().map_err(AuditError::Write)?;
    Ok(unread)
}

fn each(path: &Path, mut show: impl FnMut(&Record) -> Result<(), AuditError>) -> Result<u64, AuditError> {
    let failed = |source| AuditError::Read { path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let (mut line, mut unread) = (Vec::new(), 0);
    loop {
        line.clear();
        if reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return Ok(unread);
        }
        match Record::read(&String::from_utf8_lossy(&line)) {
            Some(record) => show(&record)?,
            None if line.trim_ascii().is_empty() => {}
            None => unread += 1,
        }
    }
}

fn user(text: &str) -> Result<u32, AuditError> {
    let unknown = || AuditError::User(text.to_owned());
    text.parse()
        .or_else(|_| uid_in(&std::fs::read_to_string(PASSWD).unwrap_or_default(), text).ok_or_else(unknown))
}

fn uid_in(passwd: &str, name: &str) -> Option<u32> {
    let mut fields = passwd.lines().map(|line| line.split(':'));
    fields.find_map(|mut fields| if fields.next() == Some(name) { fields.nth(1)?.parse().ok() } else { None })
}

fn default_file() -> Option<PathBuf> {
    let own = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state"));
    let own = own.or_else(home).map(|state| state.join("weir").join(FILE_NAME));
    let system = Path::new(SYSTEM_STATE).join(FILE_NAME);
    if rustix::process::geteuid().is_root() {
        Some(system)
    } else {
        own.filter(|own| own.exists()).or(Some(system))
    }
}

fn text(record: &Record) -> String {
    let mut out = format!("{} {:>6} {:<12}", record.time, record.uid, record.action.name());
    if let Some(times) = record.times {
        let _ = write!(out, " {times} more");
    }
    if let Some(profile) = &record.profile {
        let _ = write!(out, " {profile}");
    }
    if let Some(digest) = &record.digest {
        let digest = digest.to_string();
        let _ = write!(out, " {}", digest.get(..12).unwrap_or(&digest));
    }
    if let Some(way) = &record.way {
        let _ = write!(out, " {way}");
    }
    if let Some(pid) = record.pid {
        let _ = write!(out, " pid {pid}");
    }
    let _ = match record.end {
        None => Ok(()),
        Some(End::Exited { code }) => write!(out, " exited {code}"),
        Some(End::Signalled { signal }) => write!(out, " signal {signal}"),
        Some(End::TimedOut { limit_ms }) => write!(out, " timed out after {limit_ms} ms"),
        Some(End::Memory { limit_bytes }) => write!(out, " out of its memory of {limit_bytes} bytes"),
        Some(End::Output { limit_bytes }) => write!(out, " over its output of {limit_bytes} bytes"),
        Some(End::ServerStopping) => write!(out, " ended with the server"),
        Some(End::Cancelled) => write!(out, " ended from outside"),
    };
    if !record.argv.is_empty() {
        let words: Vec<String> = record.argv.iter().map(|word| format!("{:?}", word.to_string())).collect();
        let _ = write!(out, " -- {}{}", words.join(" "), if record.argv_cut { " …" } else { "" });
    }
    if let Some(refused) = &record.denial {
        let _ = write!(out, " {}", denial::what(refused).escape_debug());
    }
    if let Some(lease) = &record.lease {
        let _ = write!(out, " {}", what(lease).escape_debug());
    }
    if let Some(reason) = &record.reason {
        // On one line, whatever it says.
        let _ = write!(out, " ({})", reason.split_whitespace().collect::<Vec<_>>().join(" ").escape_debug());
    }
    out.push('\n');
    out
}

/// A lease in words, after the command that it is for, if it is for one.
fn what(lease: &LeaseRecord) -> String {
    let mut out = match lease.id {
        Some(id) => format!("lease {id} of context {}", lease.context),
        None => format!("no lease of context {}", lease.context),
    };
    let _ = match lease.reach {
        Reach::Command => write!(out, ", for this command"),
        Reach::Turn => write!(
            out,
            ", for turn {} of {}",
            lease.turn.as_deref().unwrap_or("?"),
            lease.thread.as_deref().unwrap_or("?")
        ),
        Reach::Context => write!(out, ", for all of it"),
    };
    let _ = write!(out, ", until {}", lease.until);
    let grants: Vec<String> = lease.grants.iter().map(granted).collect();
    if !grants.is_empty() {
        let _ = write!(out, ": {}", grants.join(", "));
    }
    out
}

fn granted(grant: &Grant) -> String {
    match grant {
        Grant::Path { path, access } => format!("{access} {path}"),
        Grant::Domain { pattern } => format!("connect to {pattern}"),
        Grant::UnixSocket { path } => format!("connect to {path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers_or_names() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1001:7::/home/ann:/bin/sh\n";
        assert_eq!((uid_in(passwd, "ann"), uid_in(passwd, "root")), (Some(1001), Some(0)));
        assert_eq!((uid_in(passwd, "an"), uid_in(passwd, "broken")), (None, None));
        assert_eq!(user("4000000000").unwrap(), 4_000_000_000);
        assert!(user("no such user").is_err());
    }
}
