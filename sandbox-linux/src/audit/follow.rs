//! The records of one sandbox among those of the whole machine, put together to refusals.

use std::collections::VecDeque;

use weir_protocol::ByteString;
use weir_protocol::denial::{Numbered, Process};

use super::{Blocker, END_OF_EVENT, Fields, LANDLOCK_ACCESS, LANDLOCK_DOMAIN, SECCOMP, SYSCALL, Stamp};

/// Most events of which not all records have come. The kernel writes those of one event close together; what is older is taken for whole.
pub const MAX_OPEN_EVENTS: usize = 64;

/// Most accesses of one event that are looked at: a rename has two directories, and domains may be nested.
const MAX_ACCESSES: usize = 8;

/// Most domains of one sandbox: its own, and one that its init may be in for a part of it.
const MAX_DOMAINS: usize = 4;

/// What an access was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A path, as the process saw it; for what is made, moved or removed its directory.
    Path(Vec<u8>),
    /// A host and port.
    Address(String),
    /// The number of a system call.
    Call(u32),
    /// A process outside, another socket, or nothing that is told.
    Other,
}

/// Something refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// By what.
    pub blocker: Option<Blocker>,
    /// What it was about.
    pub object: Object,
    /// Who asked.
    pub process: Option<Process>,
    /// When.
    pub since_1970_ms: u64,
}

#[derive(Debug)]
struct Open {
    stamp: Stamp,
    accesses: Vec<(u64, Blocker, Object)>,
    process: Option<Process>,
}

/// Follows the records of one sandbox.
#[derive(Debug)]
pub struct Follower {
    /// Who makes the sandbox's domain.
    maker: u32,
    domains: Vec<u64>,
    open: VecDeque<Open>,
    /// Whose domain's first record is waited for.
    mark: Option<u32>,
}

impl Follower {
    /// For the sandbox whose first process the machine numbers so.
    #[must_use]
    pub fn new(maker: u32) -> Self {
        Self { maker, domains: Vec::new(), open: VecDeque::new(), mark: None }
    }

    /// From here on a record of this process's domain says that all before it have come.
    pub fn await_mark(&mut self, pid: u32) {
        self.mark = Some(pid);
    }

    /// Whether what [`Self::await_mark`] waits for has come.
    #[must_use]
    pub const fn has_all(&self) -> bool {
        self.mark.is_none()
    }

    /// Takes one record. Answers what has become whole: accesses of the same event together.
    pub fn take(&mut self, kind: u16, text: &[u8]) -> Vec<Vec<Refused>> {
        let Some(fields) = Fields::read(text) else { return Vec::new() };
        match kind {
            LANDLOCK_ACCESS => self.access(&fields),
            LANDLOCK_DOMAIN => {
                self.domain(&fields);
                Vec::new()
            }
            SYSCALL => {
                if let Some(open) = self.open.iter_mut().find(|open| open.stamp.serial == fields.stamp.serial)
                {
                    open.process = process(&fields);
                }
                Vec::new()
            }
            END_OF_EVENT => {
                let at = self.open.iter().position(|open| open.stamp.serial == fields.stamp.serial);
                let open = at.and_then(|at| self.open.remove(at));
                open.map(|open| self.refused(open)).into_iter().collect()
            }
            SECCOMP => filtered(&fields).map(|refused| vec![refused]).into_iter().collect(),
            _ => Vec::new(),
        }
        .into_iter()
        .filter(|event| !event.is_empty())
        .collect()
    }

    /// What is left, though not all of it may have come.
    pub fn finish(&mut self) -> Vec<Vec<Refused>> {
        let left: Vec<Open> = self.open.drain(..).collect();
        left.into_iter().map(|open| self.refused(open)).filter(|event| !event.is_empty()).collect()
    }

    fn access(&mut self, fields: &Fields<'_>) -> Vec<Vec<Refused>> {
        let blocker = fields.word("blockers").and_then(Blocker::strongest);
        let (Some(domain), Some(blocker)) = (fields.hexadecimal("domain"), blocker) else {
            return Vec::new();
        };
        let access = (domain, blocker, object(fields));
        if let Some(open) = self.open.iter_mut().find(|open| open.stamp == fields.stamp) {
            if open.accesses.len() < MAX_ACCESSES {
                open.accesses.push(access);
            }
            return Vec::new();
        }
        let oldest = if self.open.len() >= MAX_OPEN_EVENTS { self.open.pop_front() } else { None };
        self.open.push_back(Open { stamp: fields.stamp, accesses: vec![access], process: None });
        oldest.map(|open| self.refused(open)).into_iter().collect()
    }

    fn domain(&mut self, fields: &Fields<'_>) {
        let is_new = fields.word("status") == Some("allocated");
        let (Some(domain), Some(pid), true) = (fields.hexadecimal("domain"), fields.number("pid"), is_new)
        else {
            return;
        };
        if self.mark == Some(pid) {
            self.mark = None;
        } else if pid == self.maker && self.domains.len() < MAX_DOMAINS {
            self.domains.push(domain);
        }
    }

    /// Accesses that a domain of this sandbox refused.
    fn refused(&self, open: Open) -> Vec<Refused> {
        let Open { stamp, accesses, process } = open;
        let ours = accesses.into_iter().filter(|(domain, ..)| self.domains.contains(domain));
        ours.map(|(_, blocker, object)| Refused {
            blocker: Some(blocker),
            object,
            process: process.clone(),
            since_1970_ms: stamp.since_1970_ms,
        })
        .collect()
    }
}

fn object(fields: &Fields<'_>) -> Object {
    if let Some(path) = fields.bytes("path") {
        return Object::Path(path);
    }
    // A socket that is bound names its own side, one that connects the other.
    let to = |host: &str, port: &str| Some((fields.word(host)?, fields.word(port)?));
    match to("daddr", "dest").or_else(|| to("saddr", "src")) {
        Some((host, port)) if host.contains(':') => Object::Address(format!("[{host}]:{port}")),
        Some((host, port)) => Object::Address(format!("{host}:{port}")),
        None => {
            let port = fields.word("dest").or_else(|| fields.word("src"));
            port.map_or(Object::Other, |port| Object::Address(format!("*:{port}")))
        }
    }
}

fn process(fields: &Fields<'_>) -> Option<Process> {
    let bytes = |key: &str| fields.bytes(key).map(ByteString);
    let pid = fields.number("pid")?;
    Some(Process { pid, numbered: Numbered::ByHost, exe: bytes("exe"), command: bytes("comm") })
}

/// `SECCOMP_RET_ERRNO`, as a record has it.
const ERRNO: &str = "0x50000";

fn filtered(fields: &Fields<'_>) -> Option<Refused> {
    if fields.word("code") != Some(ERRNO) {
        return None;
    }
    Some(Refused {
        blocker: None,
        object: Object::Call(fields.number("syscall")?),
        process: process(fields),
        since_1970_ms: fields.stamp.since_1970_ms,
    })
}

#[cfg(test)]
mod tests;
