//! Denials of one run in the system's log: how they are asked for, how a line is read, and which rule stands behind it.
//!
//! The kernel writes each denial of Seatbelt to the log together with the message of the rule, which is the run's tag. What
//! is read here is told to people and never decides anything. Pure. Caller: the exec-server's launcher on macOS.

use weir_protocol::denial::{Act, Denial as Told, Ledger, Mechanism, Numbered, Observed, Process};
use weir_protocol::policy::Policy;
use weir_protocol::{AbsPath, ByteString};

use crate::compile::{RunTag, linked};

/// The program that reads the log.
pub const LOG: &str = "/usr/bin/log";

/// Longest message that is looked at, in bytes: a path and some words.
pub const MAX_MESSAGE_BYTES: usize = 8 << 10;

/// Longest line of the log that is looked at, in bytes: a message, escaped, and what the log says about it.
pub const MAX_LINE_BYTES: usize = 64 << 10;

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
    /// How often: the kernel sums up what it has told already.
    pub count: u64,
}

/// The arguments of [`LOG`] that follow the denials of one run, its own name first. Process 0 is the kernel: no program can
/// write a denial that it was not given.
#[must_use]
pub fn stream_arguments(tag: &RunTag) -> Vec<String> {
    let predicate =
        format!("processID == 0 AND sender == \"Sandbox\" AND eventMessage ENDSWITH \"{}\"", tag.as_str());
    [LOG, "stream", "--style", "ndjson", "--level", "default", "--predicate", &predicate]
        .map(str::to_owned)
        .to_vec()
}

/// Reads `Sandbox: NAME(PID) deny(N) OPERATION SUBJECT`, with the run's tag behind it; before it may stand `N duplicate reports for`.
/// Anything else is `None`.
#[must_use]
pub fn read(message: &str, tag: &RunTag) -> Option<Denial> {
    if message.len() > MAX_MESSAGE_BYTES {
        return None;
    }
    let body = message.trim_end().strip_suffix(tag.as_str())?.trim_end();
    let (count, body) = repeated(body).unwrap_or((1, body));
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
        count,
    })
}

fn repeated(body: &str) -> Option<(u64, &str)> {
    let (count, rest) = body.split_once(" duplicate report")?;
    Some((count.parse().ok()?, rest.strip_prefix('s').unwrap_or(rest).strip_prefix(" for ")?))
}

/// Reads one line of `log stream --style ndjson`: an object with the message and the process that wrote it, which is the kernel. The
/// heading that the program prints first, and lines about anything else, are `None`.
#[must_use]
pub fn read_line(line: &[u8], tag: &RunTag) -> Option<Denial> {
    let event: serde_json::Value = serde_json::from_slice(line).ok()?;
    if event.get("processID")?.as_u64()? != 0 {
        return None;
    }
    read(event.get("eventMessage")?.as_str()?, tag)
}

impl Denial {
    /// The record of it, with the rule of the policy that refuses this; without, where the policy names none, or where Seatbelt refuses
    /// more than it does.
    #[must_use]
    pub fn told(&self, policy: &Policy, time: &str) -> Told {
        // By the name that the kernel knows, and then by the one that a rule may have been written with.
        let linked = AbsPath::parse(&self.subject).ok().and_then(|path| linked(&path));
        let linked = linked.map(|path| ByteString(path.as_bytes().to_vec()));
        let names = [Some(ByteString::from(self.subject.as_str())), linked].into_iter().flatten();
        let ruled = |observed: Observed| observed.joined(policy).filter(|told| told.origin.is_some());
        let joined = names.map(|name| self.observed(name, time)).find_map(ruled);
        let known =
            joined.unwrap_or_else(|| self.observed(self.subject.as_str().into(), time).certain(policy));
        Told { count: self.count, ..known }
    }

    fn observed(&self, target: ByteString, time: &str) -> Observed {
        let command = Some(ByteString::from(self.program.as_str()));
        let known = act(&self.operation);
        Observed {
            operation: known.unwrap_or(Act::Call),
            target,
            mechanism: Mechanism::Seatbelt,
            time: time.to_owned(),
            process: Some(Process { pid: self.pid, numbered: Numbered::ByHost, exe: None, command }),
            reason: known.is_none().then(|| self.operation.clone()),
        }
    }
}

/// What an operation of Seatbelt is, where it is one that a policy speaks of.
fn act(name: &str) -> Option<Act> {
    let kinds = [
        ("file-read", Act::Read),
        ("file-write-create", Act::Create),
        ("file-write-unlink", Act::Remove),
        ("file-write", Act::Write),
        ("process-exec", Act::Execute),
        ("file-map-executable", Act::Read),
        ("network-outbound", Act::Connect),
    ];
    kinds.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, act)| *act)
}

/// Reads the log as it comes in, and counts.
#[derive(Debug)]
pub struct Reader {
    tag: RunTag,
    /// The beginning of a line that is not whole yet.
    begun: Vec<u8>,
    /// The rest of a line that is too long is still to come.
    skips: bool,
    found: Ledger,
}

impl Reader {
    /// Reads for one run.
    #[must_use]
    pub fn new(tag: RunTag) -> Self {
        Self { tag, begun: Vec::new(), skips: false, found: Ledger::default() }
    }

    /// Takes what was read, in pieces of any size.
    pub fn take_in(&mut self, bytes: &[u8], policy: &Policy, time: &str) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if self.begun.len() > MAX_LINE_BYTES {
                self.skips = true;
                self.begun.clear();
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.begun);
                if !std::mem::take(&mut self.skips) {
                    read_line(&line, &self.tag)
                        .iter()
                        .for_each(|denial| self.found.add(denial.told(policy, time)));
                }
            }
        }
    }

    /// Everything that was found, in the order in which it came.
    #[must_use]
    pub fn into_found(self) -> Ledger {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag() -> RunTag {
        RunTag::parse("weir-7f").unwrap()
    }

    #[test]
    fn what_is_summed_up_counts() {
        let of =
            |text: &str| read(&format!("{text}\nweir-7f"), &tag()).map(|found| (found.program, found.count));
        let body = "Sandbox: zsh(95) deny(1) file-read-data /usr/x";
        assert_eq!(of(body), Some(("zsh".to_owned(), 1)));
        assert_eq!(of(&format!("1 duplicate report for {body}")), Some(("zsh".to_owned(), 1)));
        assert_eq!(of(&format!("5 duplicate reports for {body}")), Some(("zsh".to_owned(), 5)));
    }

    fn check(message: &str, expect: Option<(&str, u32, &str, &str)>) {
        let found = read(message, &tag());
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

    /// A line as `log stream --style ndjson` writes it: JSON of one line, slashes escaped, the sender's image and the process.
    fn line(process: u32, message: &str) -> String {
        let message = serde_json::to_string(message).unwrap().replace('/', "\\/");
        format!(
            "{{\"traceID\":27914534293508,\"eventMessage\":{message},\"eventType\":\"logEvent\",\"source\":null,\
             \"formatString\":\"%{{public}}s\",\"activityIdentifier\":0,\"subsystem\":\"\",\"category\":\"\",\
             \"threadID\":6431,\"senderImagePath\":\"\\/System\\/Library\\/Extensions\\/Sandbox.kext\\/Contents\\/MacOS\\/Sandbox\",\
             \"backtrace\":{{\"frames\":[{{\"imageOffset\":81240}}]}},\"bootUUID\":\"\",\
             \"processImagePath\":\"\\/kernel\",\"timestamp\":\"2026-01-05 10:20:30.123456+0100\",\
             \"senderProgramCounter\":81240,\"machTimestamp\":1,\"messageType\":\"Error\",\"processID\":{process}}}\n"
        )
    }

    #[test]
    fn lines_of_the_kernel_are_read_and_no_others() {
        let message = "Sandbox: cat(311) deny(1) file-read-data /p/\"x\"\nweir-7f";
        let found = read_line(line(0, message).as_bytes(), &tag()).unwrap();
        assert_eq!((found.pid, found.subject.as_str()), (311, "/p/\"x\""));
        assert_eq!(read_line(line(311, message).as_bytes(), &tag()), None);
        for other in [
            "Filtering the log data using \"sender == \\\"Sandbox\\\"\"\n",
            "{\"count\":1,\"finished\":1}\n",
            "\n",
            "[]",
        ] {
            assert_eq!(read_line(other.as_bytes(), &tag()), None, "{other}");
        }
    }

    #[test]
    fn the_log_is_asked_for_this_run_and_the_kernel_alone() {
        let arguments = stream_arguments(&tag());
        assert_eq!(arguments[..2], ["/usr/bin/log", "stream"]);
        let expect = "processID == 0 AND sender == \"Sandbox\" AND eventMessage ENDSWITH \"weir-7f\"";
        assert_eq!(arguments.last().map(String::as_str), Some(expect));
    }
}
