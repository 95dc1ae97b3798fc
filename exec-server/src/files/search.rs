//! `file/search`: lines that match, file by file, in bounded memory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;

use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkFinish, SinkMatch};
use rustix::fs::OFlags;
use weir_protocol::method::file::{
    Case, Cut, Line, MAX_CONTEXT_LINES, MAX_FOUND_BYTES, MAX_LINE_BYTES, MAX_MATCHES, Matches, Search,
    Searched, Syntax,
};
use weir_protocol::{AbsPath, ByteString};

use super::find::{Walked, check_length, patterns, walk};
use super::worker::{Worker, limit};
use super::{Fault, On as _, Outcome};

/// Most bytes that a compiled pattern takes, and as much again for what it learns while it searches.
const PATTERN_MEMORY_BYTES: usize = 16 << 20;

/// Longest line that is looked at, in bytes, with the lines around it: a file with a longer one counts as unreadable from there on.
const SEARCH_MEMORY_BYTES: usize = 16 << 20;

/// Bytes that a line counts beside its text: its numbers and what surrounds them in JSON.
const LINE_COST_BYTES: usize = 64;

fn matcher(ask: &Search) -> Result<RegexMatcher, Fault> {
    check_length(&ask.pattern)?;
    let mut builder = RegexMatcherBuilder::new();
    builder.line_terminator(Some(b'\n')).fixed_strings(ask.syntax == Syntax::Literal);
    builder.case_insensitive(ask.case == Case::Insensitive).case_smart(ask.case == Case::Smart);
    builder.size_limit(PATTERN_MEMORY_BYTES).dfa_size_limit(PATTERN_MEMORY_BYTES);
    builder.build(&ask.pattern).map_err(|error| Fault::Pattern(error.to_string()))
}

pub(super) fn search(ask: &Search, worker: &Worker) -> Outcome<Searched> {
    let root = &ask.root;
    let wanted = patterns(&ask.files).reading(root)?;
    let context = usize::try_from(ask.context.min(MAX_CONTEXT_LINES)).unwrap_or(0);
    let mut finding = Finding {
        matcher: matcher(ask).reading(root)?,
        searcher: SearcherBuilder::new()
            .line_number(true)
            .binary_detection(BinaryDetection::quit(0))
            .heap_limit(Some(SEARCH_MEMORY_BYTES))
            .before_context(context)
            .after_context(context)
            .build(),
        worker,
        room: Room { matches: limit(ask.limit, MAX_MATCHES), bytes: MAX_FOUND_BYTES },
        files: Vec::new(),
    };
    let walked = if fs::metadata(root.as_path()).reading(root)?.is_dir() {
        walk(root, ask.scope, worker, |entry, below, walked| {
            let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
            if !is_file || !ask.files.is_empty() && !wanted.is_match(below) {
                return Ok(ControlFlow::Continue(()));
            }
            let path = root.join(below.as_bytes()).ok();
            match path.ok_or(Fault::Special).and_then(|path| worker.open(&path, OFlags::RDONLY)) {
                Ok(file) => finding.file(&file, below.as_bytes(), walked),
                Err(_) => {
                    walked.unreadable += 1;
                    Ok(ControlFlow::Continue(()))
                }
            }
        })?
    } else {
        finding.only(root)?
    };
    let Finding { mut files, .. } = finding;
    files.sort_by(|one: &Matches, other| one.path.cmp(&other.path));
    Ok(Searched { files, unreadable: walked.unreadable, cut: walked.cut })
}

/// What may still be found.
#[derive(Debug, Clone, Copy)]
struct Room {
    matches: usize,
    bytes: usize,
}

impl Room {
    const fn cut(self) -> Option<Cut> {
        match self {
            Self { matches: 0, .. } => Some(Cut::Limit),
            Self { bytes: 0, .. } => Some(Cut::Bytes),
            _ => None,
        }
    }
}

struct Finding<'a> {
    matcher: RegexMatcher,
    searcher: Searcher,
    worker: &'a Worker,
    room: Room,
    files: Vec<Matches>,
}

impl Finding<'_> {
    /// The root is the file.
    fn only(&mut self, root: &AbsPath) -> Outcome<Walked> {
        let mut walked = Walked::default();
        let file = self.worker.open(root, OFlags::RDONLY).reading(root)?;
        if let ControlFlow::Break(cut) = self.file(&file, b"", &mut walked).reading(root)? {
            walked.cut = Some(cut);
        }
        Ok(walked)
    }

    fn file(&mut self, file: &File, path: &[u8], walked: &mut Walked) -> Result<ControlFlow<Cut>, Fault> {
        // Nothing was asked for.
        if let Some(cut) = self.room.cut() {
            return Ok(ControlFlow::Break(cut));
        }
        let mut found =
            Found { matcher: &self.matcher, lines: Vec::new(), room: self.room, is_binary: false };
        let reader = Watched { file, worker: self.worker };
        if self.searcher.search_reader(&self.matcher, reader, &mut found).is_err() {
            self.worker.check()?;
            walked.unreadable += 1;
        }
        let Found { lines, room, is_binary, .. } = found;
        if lines.is_empty() || is_binary {
            return Ok(ControlFlow::Continue(()));
        }
        self.room = Room { bytes: room.bytes.saturating_sub(path.len()), ..room };
        self.files.push(Matches { path: ByteString(path.to_vec()), lines });
        Ok(self.room.cut().map_or(ControlFlow::Continue(()), ControlFlow::Break))
    }
}

/// A file that cannot be read any further once the call was called off.
struct Watched<'a> {
    file: &'a File,
    worker: &'a Worker,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.worker.check().map_err(|_| io::Error::other("called off"))?;
        Read::read(&mut self.file, buffer)
    }
}

/// What was found in one file.
struct Found<'a> {
    matcher: &'a RegexMatcher,
    lines: Vec<Line>,
    room: Room,
    is_binary: bool,
}

impl Found<'_> {
    fn push(&mut self, number: Option<u64>, column: Option<u64>, text: &[u8]) {
        let text = text.get(..MAX_LINE_BYTES).unwrap_or(text);
        self.room.bytes = self.room.bytes.saturating_sub(text.len() + LINE_COST_BYTES);
        let text = ByteString(text.to_vec());
        self.lines.push(Line { number: number.unwrap_or(0), column, text });
    }
}

fn line(bytes: &[u8]) -> &[u8] {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl Sink for Found<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        use grep_matcher::Matcher as _;

        let text = line(found.bytes());
        let first = self.matcher.find(text).ok().flatten();
        let column = first.map(|first| first.start() as u64 + 1);
        self.room.matches = self.room.matches.saturating_sub(1);
        self.push(found.line_number(), column, text);
        Ok(self.room.cut().is_none())
    }

    fn context(&mut self, _: &Searcher, around: &SinkContext<'_>) -> io::Result<bool> {
        self.push(around.line_number(), None, line(around.bytes()));
        Ok(self.room.cut().is_none())
    }

    fn binary_data(&mut self, _: &Searcher, _: u64) -> io::Result<bool> {
        self.is_binary = true;
        Ok(false)
    }

    fn finish(&mut self, _: &Searcher, _: &SinkFinish) -> io::Result<()> {
        Ok(())
    }
}
