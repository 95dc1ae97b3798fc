//! What a model is told of a command: how it ended or that it runs, what it wrote, what it was refused and how to ask for that.

use std::fmt::Write as _;

use weir_protocol::denial::Denial;
use weir_protocol::method::process::End;

use super::GIVEN_UP;
use super::job::Job;
use crate::denial;

/// Most refusals that are told; the item has all.
const MAX_DENIALS: usize = 20;

/// Most hosts that were not reached that are told.
const MAX_UNREACHED: usize = 10;

/// The text for the model.
pub(super) fn command(job: &Job) -> String {
    let mut out = String::new();
    let id = job.running().id();
    if job.is_interrupted() {
        let _ = writeln!(out, "{GIVEN_UP} The command was ended.");
    }
    if let Some(failing) = job.failing() {
        let _ = writeln!(out, "{failing}");
    }
    let _ = match (job.ended(), job.background(), job.lost()) {
        (Some(end), _, _) => writeln!(out, "{}", ended(end)),
        (None, _, Some(why)) => writeln!(
            out,
            "The exec-server is gone, and the command with it ({why}); this is what was heard of it before"
        ),
        (None, Some(end), None) => writeln!(out, "{}; what it started goes on as process {id}", ended(end)),
        (None, None, None) => {
            writeln!(out, "Still running as process {id}; write_stdin polls it, writes to it or ends it")
        }
    };
    output(&mut out, job);
    if let Some(exited) = job.exited() {
        denials(&mut out, &exited.denials);
        for host in exited.unreached.hosts.iter().take(MAX_UNREACHED) {
            let _ = writeln!(out, "Allowed by the permission profile, but not reached: {host}");
        }
        for repository in &exited.new_repositories {
            let _ = writeln!(out, "A new repository: {repository}");
        }
        if !exited.stuck.is_empty() {
            let count = exited.stuck.len();
            let _ = writeln!(
                out,
                "Not ended yet, for a file system or a device does not answer: {count} processes"
            );
        }
    }
    out
}

fn output(out: &mut String, job: &Job) {
    let capture = job.since_look();
    if capture.bytes() == 0 {
        let _ = writeln!(out, "It wrote nothing{}", if job.ended().is_some() { "" } else { " so far" });
        return;
    }
    let _ = writeln!(out, "Output, {} bytes:\n{}", capture.bytes(), capture.text().trim_end_matches('\n'));
    match job.kept() {
        Ok(Some(path)) if capture.text().len() as u64 != capture.bytes() => {
            let _ = writeln!(out, "The person has all of it in {path}");
        }
        Ok(_) => {}
        Err(why) => {
            let _ = writeln!(out, "{why}");
        }
    }
}

/// How a command ended, as a sentence.
pub(crate) fn ended(end: End) -> String {
    match end {
        End::Exited { code } => format!("Exited with code {code}"),
        End::Signalled { signal } => format!("Ended by signal {signal}"),
        End::TimedOut { limit_ms } => format!("Ended: its time, {limit_ms} ms, was over"),
        End::Memory { limit_bytes } => {
            format!("Ended: together its processes had more memory than {limit_bytes} bytes")
        }
        End::Output { limit_bytes } => format!("Ended: it wrote more than {limit_bytes} bytes"),
        End::ServerStopping => "Ended: the exec-server is stopping".to_owned(),
        End::Cancelled => "Ended from outside".to_owned(),
    }
}

fn denials(out: &mut String, all: &[Denial]) {
    for refused in all.iter().take(MAX_DENIALS) {
        let _ = writeln!(out, "Refused by the permission profile: {}", denial::what(refused));
    }
    if all.len() > MAX_DENIALS {
        let _ = writeln!(out, "and {} more refusals", all.len() - MAX_DENIALS);
    }
}
