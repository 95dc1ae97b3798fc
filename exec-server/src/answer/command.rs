//! What a command cannot start without: the directory to begin in, its program as execvp(3) finds it, and whatever the kernel opens besides,
//! down to the loader. Read off the file tree as who asks may see it; whether each may be executed is the policy's to say.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;

use serde::{Deserialize, Serialize};
use weir_protocol::held::Held;
use weir_protocol::method::policy::{Need, Needed};
use weir_protocol::policy::explain::Explanation;
use weir_protocol::policy::{Operation, Policy, Request};
use weir_protocol::{AbsPath, ByteString};

use crate::launch::inquiry::{Answered, Asked};
use crate::launch::program::{Look, candidates, look};
use crate::profile::surroundings::{Followed, Host, Walker};

/// Most things that are told of one command: a script may name another one, and `env` a third.
const MAX_NEEDED: usize = 32;

/// Interpreters of interpreters that the kernel follows (`exec_binprm`).
const MAX_INTERPRETERS: usize = 5;

/// Bytes of a file in which its interpreter is looked for.
const HEAD_BYTES: u64 = 4_096;

/// Bytes of a script's first line that the kernel reads (`BINPRM_BUF_SIZE`, execve(2)).
const LINE_BYTES: usize = 256;

/// What executes a file that the kernel does not know how to execute (execvp(3)).
#[cfg(target_os = "linux")]
const SHELL: &[u8] = b"/bin/sh";

/// A command, as far as it can be told without a plan.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Starting {
    /// The command, in words.
    command: String,
    pieces: Vec<Piece>,
    /// What is missing, so that it cannot start whatever is allowed.
    missing: Option<String>,
}

/// Something that is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Piece {
    need: Need,
    /// As it is named, where links change that.
    named: Option<AbsPath>,
    path: AbsPath,
    notes: Vec<String>,
}

impl Starting {
    /// Looks for all that a command needs; nothing where there is no command. `path` is the caller's `PATH`.
    pub(super) fn of(
        policy: &Policy,
        argv: &[ByteString],
        path: Option<&ByteString>,
        directory: &AbsPath,
    ) -> Option<Self> {
        let name = argv.first()?;
        let terrain = Host::default();
        let mut search = Search {
            policy,
            path: path_inside(policy, path),
            directory,
            walker: Walker::new(&terrain),
            looked: 0,
            pieces: vec![Piece {
                need: Need::WorkingDirectory,
                named: None,
                path: directory.clone(),
                notes: Vec::new(),
            }],
        };
        let missing = search.program(&name.0).err();
        let words: Vec<String> = argv.iter().map(|word| word.0.escape_ascii().to_string()).collect();
        Some(Self { command: words.join(" "), pieces: search.pieces, missing })
    }

    /// What is to be asked of a plan, one question for each thing that is needed.
    pub(super) fn asked(&self) -> Vec<Asked> {
        let asked = |piece: &Piece| {
            let path = piece.path.clone();
            match piece.need {
                Need::WorkingDirectory => Asked::Enter { path },
                Need::Link => Asked::Pass { path },
                Need::Program | Need::Interpreter | Need::Loader => {
                    Asked::Path { path, operation: Operation::Execute }
                }
            }
        };
        self.pieces.iter().map(asked).collect()
    }

    /// The answer: yes where all that is needed is there and allowed, else the first thing that is not.
    pub(super) fn completed(self, answers: Vec<Answered>) -> (Explanation, Option<Held>, Vec<Needed>) {
        let Self { command, pieces, missing } = self;
        let question = format!("start {command}");
        let failing = answers.iter().position(|answered| !answered.passes());
        let program = pieces.iter().position(|piece| piece.need == Need::Program);
        let deciding = failing.or(program).and_then(|at| Some((pieces.get(at)?, answers.get(at)?)));
        let (explanation, held) = match (missing, deciding) {
            (None, Some((piece, Answered { explanation, held }))) => {
                let found = failing.is_none();
                let because = (!found).then(|| format!("it needs the {} {}", piece.need.words(), piece.path));
                let Explanation { access, rule, origin, edit, .. } = explanation.clone();
                let conditions = because.into_iter().collect();
                let lost = Vec::new();
                let whole =
                    Explanation { question, allowed: found, access, rule, origin, conditions, lost, edit };
                (whole, Some(held.clone()))
            }
            (missing, _) => (absent(question, missing.unwrap_or_default()), None),
        };
        let needed = |(piece, answered): (Piece, Answered)| {
            let Piece { need, named, notes, .. } = piece;
            let Answered { mut explanation, held } = answered;
            explanation.conditions.extend(notes);
            Needed { need, named, explanation, held: Some(held) }
        };
        (explanation, held, pieces.into_iter().zip(answers).map(needed).collect())
    }
}

/// The answer where there is nothing to speak of.
pub(super) fn absent(question: String, rule: String) -> Explanation {
    Explanation {
        question,
        allowed: false,
        access: None,
        rule,
        origin: None,
        conditions: Vec::new(),
        lost: Vec::new(),
        edit: None,
    }
}

/// The `PATH` that the command gets.
fn path_inside(policy: &Policy, callers: Option<&ByteString>) -> Option<Vec<u8>> {
    if let Some(set) = policy.environment().set.get("PATH") {
        return Some(set.value.clone().into_bytes());
    }
    let passes = policy.verdict(&Request::Environment { name: "PATH" }).allowed;
    callers.filter(|_| passes).map(|path| path.0.clone())
}

struct Search<'s> {
    policy: &'s Policy,
    path: Option<Vec<u8>>,
    directory: &'s AbsPath,
    walker: Walker<'s, Host>,
    pieces: Vec<Piece>,
    /// Files whose interpreter was looked for.
    looked: usize,
}

/// A file that a name leads to.
struct Found {
    named: AbsPath,
    followed: Followed,
}

impl Search<'_> {
    /// Adds the program of this name with all that it needs; else why there is none.
    fn program(&mut self, name: &[u8]) -> Result<(), String> {
        let (mut first, mut chosen, mut shut, mut notes) = (None, None, false, Vec::new());
        for candidate in candidates(name, self.path.as_deref(), self.directory) {
            match look(&candidate) {
                Look::Nothing => continue,
                Look::NotExecutable => {
                    shut = true;
                    continue;
                }
                Look::Executable => {}
            }
            let Some(found) = self.found(candidate.as_os_str().as_bytes()) else { continue };
            if self.may_execute(&found) {
                chosen = Some(found);
                break;
            }
            notes.push(format!(
                "{} comes first on PATH, and is passed over, for it may not be executed",
                found.named
            ));
            first.get_or_insert(found);
        }
        if chosen.is_none() {
            notes.clear();
        }
        let Some(found) = chosen.or(first) else {
            let said = name.escape_ascii();
            return Err(if shut {
                format!("{said} cannot be executed: no file of this name has the mode for it")
            } else {
                format!("there is no program {said} on the command's PATH")
            });
        };
        notes.extend(privilege(self.policy, &found.followed.real));
        let real = self.add(Need::Program, found, notes);
        self.image(&real, 0)
    }

    fn found(&mut self, path: &[u8]) -> Option<Found> {
        let followed = self.walker.follow_from(self.directory, path)?;
        let full = self.directory.as_path().join(std::ffi::OsStr::from_bytes(path));
        Some(Found { named: AbsPath::from_host(&full)?, followed })
    }

    /// Whether a policy lets a file be executed under this name.
    fn may_execute(&self, found: &Found) -> bool {
        self.allows(&found.followed.real, Operation::Execute) && self.closed_links(found).next().is_none()
    }

    fn allows(&self, path: &AbsPath, operation: Operation) -> bool {
        self.policy.verdict(&Request::Path { path, operation }).allowed
    }

    /// The links on the way that may not be read.
    fn closed_links<'f>(&'f self, found: &'f Found) -> impl Iterator<Item = &'f AbsPath> {
        found.followed.links.iter().filter(|link| !self.allows(link, Operation::Read))
    }

    /// Adds a file and the links on its way; its final path.
    fn add(&mut self, need: Need, found: Found, notes: Vec<String>) -> AbsPath {
        let link =
            |path: &AbsPath| Piece { need: Need::Link, named: None, path: path.clone(), notes: Vec::new() };
        let links: Vec<Piece> = self.closed_links(&found).map(link).collect();
        let Found { named, followed: Followed { real, .. } } = found;
        let named = (named != real).then_some(named);
        let own = Piece { need, named, path: real.clone(), notes };
        for piece in links.into_iter().chain([own]) {
            if !self.pieces.contains(&piece) && self.pieces.len() < MAX_NEEDED {
                self.pieces.push(piece);
            }
        }
        real
    }

    /// Adds what the kernel opens besides a file when that is executed.
    fn image(&mut self, file: &AbsPath, depth: usize) -> Result<(), String> {
        // `env` begins anew, and may come back to where it began.
        self.looked += 1;
        if depth > MAX_INTERPRETERS || self.looked > MAX_NEEDED {
            return Err("its interpreters come to no end".to_owned());
        }
        // What may be executed and not read is none of a script's.
        let Some(head) = head(file) else { return Ok(()) };
        let is_script = head.starts_with(b"#!");
        let Some(name) = interpreter(&head) else { return self.unknown_format(&head, depth) };
        let need = if is_script { Need::Interpreter } else { Need::Loader };
        let real = self.opened(need, &name, Vec::new())?;
        if !is_script {
            return Ok(());
        }
        let is_env = AbsPath::parse(&name).is_ok_and(|name| name.file_name() == Some(b"env"));
        self.image(&real, depth + 1)?;
        match of_env(&head).filter(|_| is_env) {
            Some(program) => self.program(&program),
            None => Ok(()),
        }
    }

    /// Adds what a file names.
    fn opened(&mut self, need: Need, name: &[u8], notes: Vec<String>) -> Result<AbsPath, String> {
        let missing = || format!("the {} {} is not there", need.words(), name.escape_ascii());
        let found = self.found(name).ok_or_else(missing)?;
        if !found.followed.real.as_path().exists() {
            return Err(missing());
        }
        Ok(self.add(need, found, notes))
    }

    /// What neither is a script nor known to the kernel goes to the shell, where it is the command's own program.
    #[cfg(target_os = "linux")]
    fn unknown_format(&mut self, head: &[u8], depth: usize) -> Result<(), String> {
        if depth > 0 || head.starts_with(b"\x7fELF") || head.starts_with(b"#!") {
            return Ok(());
        }
        let note = "the file has no format that the kernel knows, so that the shell reads it".to_owned();
        let shell = self.opened(Need::Interpreter, SHELL, vec![note])?;
        self.image(&shell, 1)
    }

    #[cfg(not(target_os = "linux"))]
    fn unknown_format(&mut self, _head: &[u8], _depth: usize) -> Result<(), String> {
        Ok(())
    }
}

fn head(file: &AbsPath) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    File::open(file.as_path()).ok()?.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    Some(head)
}

#[cfg(target_os = "linux")]
fn interpreter(head: &[u8]) -> Option<Vec<u8>> {
    weir_sandbox_linux::broker::interpreter(head).map(<[u8]>::to_vec)
}

/// Of a script; what loads a program on macOS is the same for all.
#[cfg(not(target_os = "linux"))]
fn interpreter(head: &[u8]) -> Option<Vec<u8>> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    line.split(u8::is_ascii_whitespace).find(|word| !word.is_empty()).map(<[u8]>::to_vec)
}

/// The program that `env` is told to execute by a script's first line: all behind its name is one word (execve(2)), unless `-S` divides it
/// (env(1)).
fn of_env(head: &[u8]) -> Option<Vec<u8>> {
    let line = head.get(2..head.len().min(LINE_BYTES))?.split(|byte| *byte == b'\n').next()?.trim_ascii();
    let rest = line.get(line.iter().position(u8::is_ascii_whitespace)?..)?.trim_ascii();
    let divided = rest.strip_prefix(b"-S").or_else(|| rest.strip_prefix(b"--split-string="));
    let is_program = |word: &&[u8]| !word.is_empty() && !word.starts_with(b"-") && !word.contains(&b'=');
    match divided {
        Some(words) => words.split(u8::is_ascii_whitespace).find(is_program),
        None => Some(rest).filter(is_program),
    }
    .map(<[u8]>::to_vec)
}

/// Mode bits that give a program its owner's or its group's rights (inode(7)).
const SET_IDS: u32 = 0o6000;

/// That a program runs without the rights that its file would give, where it would.
fn privilege(policy: &Policy, file: &AbsPath) -> Option<String> {
    if policy.is_unrestricted() {
        return None;
    }
    let what = match file.as_path().metadata() {
        Ok(found) if found.mode() & SET_IDS != 0 => "its owner's or its group's rights",
        _ if has_capabilities(file) => "the capabilities of its file",
        _ => return None,
    };
    Some(format!("it runs without {what}: no-new-privs"))
}

#[cfg(target_os = "linux")]
fn has_capabilities(file: &AbsPath) -> bool {
    let mut nothing: [u8; 0] = [];
    rustix::fs::getxattr(file.as_path(), "security.capability", &mut nothing).is_ok_and(|bytes| bytes > 0)
}

#[cfg(not(target_os = "linux"))]
fn has_capabilities(_file: &AbsPath) -> bool {
    false
}

#[cfg(test)]
mod tests;
