//! Files inside the profile: read, listed, found, searched, patched and written by the exec-server, with a command's verdicts.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_protocol::method::Asks;
use weir_protocol::method::file::{
    By, Case, Change, Cut, Directory, Glob, Kind, PassedOver, Patch, Read, Replacement, Search, Syntax,
    Within, Write, Writing,
};
use weir_protocol::{AbsPath, ByteString};

use super::numbered::Numbered;
use super::{ToolSchema, Tools, arguments};
use crate::item::{ChangeKind, Did, FileChange, ToolOutcome};

/// Names of the tools.
pub(super) const READ: &str = "read_file";
pub(super) const LIST: &str = "list_directory";
pub(super) const FIND: &str = "find_files";
pub(super) const SEARCH: &str = "search_files";
pub(super) const PATCH: &str = "patch_files";
pub(super) const WRITE: &str = "write_file";

/// Lines that are told where the model does not say how many.
const LINES: u64 = 2_000;

/// Entries, paths and matches that are told where the model does not say how many.
const FOUND: u32 = 200;

/// Read lines of a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReadFile {
    /// The file.
    path: String,
    /// The first line, from 1.
    #[serde(default)]
    line: Option<u64>,
    /// Most lines.
    #[serde(default)]
    limit: Option<u64>,
}

/// List a directory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListDirectory {
    /// The directory; the working directory where it is absent.
    #[serde(default)]
    path: Option<String>,
    /// Most entries.
    #[serde(default)]
    limit: Option<u32>,
}

/// Find files by name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FindFiles {
    /// A pattern: `*` and `?` stay in a component, `**` crosses.
    pattern: String,
    /// Where to begin.
    #[serde(default)]
    path: Option<String>,
    /// Whether hidden and ignored files count.
    #[serde(default)]
    all: bool,
    /// Most paths.
    #[serde(default)]
    limit: Option<u32>,
}

/// Find lines.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SearchFiles {
    /// A regular expression, or text where `literal` is set.
    pattern: String,
    /// A file, or the directory where to begin.
    #[serde(default)]
    path: Option<String>,
    /// A pattern that files must match, as for find_files.
    #[serde(default)]
    files: Option<String>,
    /// Whether the pattern is taken as it is.
    #[serde(default)]
    literal: bool,
    /// Whether letters of either case are the same.
    #[serde(default)]
    ignore_case: bool,
    /// Whether hidden and ignored files count.
    #[serde(default)]
    all: bool,
    /// Lines around each match.
    #[serde(default)]
    context: u32,
    /// Most matching lines.
    #[serde(default)]
    limit: Option<u32>,
}

/// Change files, all or none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PatchFiles {
    /// One for each file.
    changes: Vec<PatchFile>,
}

/// One file's change: exactly one of `edits`, `diff`, `create` and `remove`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PatchFile {
    /// The file.
    path: String,
    /// Pieces that are replaced, one after another.
    #[serde(default)]
    edits: Option<Vec<PatchEdit>>,
    /// Hunks of a unified diff.
    #[serde(default)]
    diff: Option<String>,
    /// The content of a new file.
    #[serde(default)]
    create: Option<String>,
    /// Whether the file is removed.
    #[serde(default)]
    remove: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PatchEdit {
    /// What is there, exactly.
    old: String,
    /// What takes its place.
    new: String,
    /// How often it must occur; 1 where it is absent.
    #[serde(default)]
    times: Option<u32>,
}

/// Write a whole file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WriteFile {
    /// The file; its directory must exist.
    path: String,
    /// Its content.
    content: String,
}

pub(super) fn schemas() -> Vec<ToolSchema> {
    let schema = |name, description, parameters| ToolSchema { name, description, parameters };
    vec![
        schema(READ, "Reads lines of a text file, each with its number.", arguments::schema::<ReadFile>()),
        schema(LIST, "Lists a directory.", arguments::schema::<ListDirectory>()),
        schema(FIND, "Finds files by a pattern for their path.", arguments::schema::<FindFiles>()),
        schema(
            SEARCH,
            "Finds lines that match, in a file or below a directory.",
            arguments::schema::<SearchFiles>(),
        ),
        schema(
            PATCH,
            "Changes, makes and removes files: all changes are done, or none. What an edit replaces must be there exactly.",
            arguments::schema::<PatchFiles>(),
        ),
        schema(WRITE, "Makes a file, or replaces its content.", arguments::schema::<WriteFile>()),
    ]
}

impl Tools {
    fn path(&self, text: &str) -> Result<AbsPath, String> {
        let base = &self.place.standpoint;
        arguments::path(text, &base.cwd, &base.home)
    }

    fn root(&self, text: Option<&str>) -> Result<AbsPath, String> {
        self.path(text.unwrap_or("."))
    }

    async fn file<T>(&self, file: T) -> Result<<Within<T> as Asks>::Answer, String>
    where
        Within<T>: Asks,
    {
        self.place.executor.ask(self.within(file)).await.map_err(|error| error.to_string())
    }

    pub(super) async fn read_file(&self, text: &str) -> Result<ToolOutcome, String> {
        let ReadFile { path, line, limit } = arguments::read(READ, text)?;
        let path = self.path(&path)?;
        let mut lines = Numbered::new(line.unwrap_or(1), limit.unwrap_or(LINES));
        let mut offset = 0;
        let has_more = loop {
            let read = Read { path: path.clone(), offset, length: None };
            let read = self.place.executor.ask_with_content(self.within(read)).await;
            let (content, bytes) = read.map_err(|error| error.to_string())?;
            offset += content.bytes;
            if !lines.add(&bytes, content.ends) {
                break true;
            }
            if content.ends || bytes.is_empty() {
                break false;
            }
        };
        Ok(ToolOutcome { told: lines.finish(has_more), did: Did::Read })
    }

    pub(super) async fn list_directory(&self, text: &str) -> Result<ToolOutcome, String> {
        let ListDirectory { path, limit } = arguments::read(LIST, text)?;
        let path = self.root(path.as_deref())?;
        let found = self.file(Directory { path, after: None, limit: Some(limit.unwrap_or(FOUND)) }).await?;
        let mut told = String::new();
        for entry in &found.entries {
            let kind = entry.attributes.as_ref().map(|attributes| attributes.kind);
            let mark = match kind {
                Some(Kind::Directory) => "/",
                Some(Kind::Link) => "@",
                Some(Kind::Special) => "=",
                Some(Kind::File) => "",
                None => " (closed)",
            };
            let _ = writeln!(told, "{}{mark}", entry.name);
        }
        if found.more {
            told += "[… there are more …]\n";
        }
        Ok(ToolOutcome { told: or_nothing(told), did: Did::Read })
    }

    pub(super) async fn find_files(&self, text: &str) -> Result<ToolOutcome, String> {
        let FindFiles { pattern, path, all, limit } = arguments::read(FIND, text)?;
        let root = self.root(path.as_deref())?;
        let limit = Some(limit.unwrap_or(FOUND));
        let found = self.file(Glob { root, patterns: vec![pattern], scope: scope(all), limit }).await?;
        let mut told = String::new();
        for path in &found.paths {
            let _ = writeln!(told, "{path}");
        }
        Ok(ToolOutcome { told: or_nothing(told) + &missing(found.unreadable, found.cut), did: Did::Read })
    }

    pub(super) async fn search_files(&self, text: &str) -> Result<ToolOutcome, String> {
        let asked: SearchFiles = arguments::read(SEARCH, text)?;
        let root = self.root(asked.path.as_deref())?;
        let search = Search {
            root: root.clone(),
            pattern: asked.pattern,
            syntax: if asked.literal { Syntax::Literal } else { Syntax::Regex },
            case: if asked.ignore_case { Case::Insensitive } else { Case::Sensitive },
            files: asked.files.into_iter().collect(),
            scope: scope(asked.all),
            context: asked.context,
            limit: Some(asked.limit.unwrap_or(FOUND)),
        };
        let found = self.file(search).await?;
        let mut told = String::new();
        for file in &found.files {
            let name = if file.path.0.is_empty() { root.to_string() } else { file.path.to_string() };
            for line in &file.lines {
                let mark = if line.column.is_some() { ':' } else { '-' };
                let _ = writeln!(told, "{name}{mark}{}{mark}{}", line.number, line.text);
            }
        }
        Ok(ToolOutcome { told: or_nothing(told) + &missing(found.unreadable, found.cut), did: Did::Read })
    }

    pub(super) async fn patch_files(&self, text: &str) -> Result<ToolOutcome, String> {
        let PatchFiles { changes } = arguments::read(PATCH, text)?;
        let read = changes.into_iter().map(|change| self.change(change));
        let (changes, kinds): (Vec<_>, Vec<_>) = read.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let paths: Vec<_> = changes.iter().map(|change| change.path.to_string()).collect();
        self.file(Patch { changes }).await?;
        let changes: Vec<_> =
            paths.into_iter().zip(kinds).map(|(path, kind)| FileChange { path, kind }).collect();
        Ok(ToolOutcome { told: format!("Done: {} files.", changes.len()), did: Did::Files { changes } })
    }

    fn change(&self, asked: PatchFile) -> Result<(Change, ChangeKind), String> {
        let path = self.path(&asked.path)?;
        let (by, kind) = match (asked.edits, asked.diff, asked.create, asked.remove) {
            (Some(edits), None, None, false) => {
                let edits = edits.into_iter().map(|PatchEdit { old, new, times }| Replacement {
                    old: ByteString::from(old.as_str()),
                    new: ByteString::from(new.as_str()),
                    times: times.unwrap_or(1),
                });
                (By::Edits(edits.collect()), ChangeKind::Update)
            }
            (None, Some(diff), None, false) => (By::Diff(diff.as_str().into()), ChangeKind::Update),
            (None, None, Some(content), false) => (By::Create(content.as_str().into()), ChangeKind::Add),
            (None, None, None, true) => (By::Remove, ChangeKind::Delete),
            _ => {
                return Err(format!(
                    "{}: exactly one of edits, diff, create and remove says what changes",
                    asked.path
                ));
            }
        };
        Ok((Change { path, by }, kind))
    }

    pub(super) async fn write_file(&self, text: &str) -> Result<ToolOutcome, String> {
        let WriteFile { path, content } = arguments::read(WRITE, text)?;
        let path = self.path(&path)?;
        let is_new =
            self.file(weir_protocol::method::file::Stat { path: path.clone(), links: Default::default() });
        let kind = if is_new.await.is_err() { ChangeKind::Add } else { ChangeKind::Update };
        let writing = Writing::Replace;
        let content = ByteString::from(content.as_str());
        let written = self.file(Write { path: path.clone(), content, writing, permissions: None }).await?;
        let changes = vec![FileChange { path: path.to_string(), kind }];
        Ok(ToolOutcome { told: format!("{path} has {} bytes.", written.size), did: Did::Files { changes } })
    }
}

const fn scope(all: bool) -> PassedOver {
    if all { PassedOver::All } else { PassedOver::Visible }
}

fn or_nothing(told: String) -> String {
    if told.is_empty() { "Nothing was found.\n".to_owned() } else { told }
}

fn missing(unreadable: u64, cut: Option<Cut>) -> String {
    let mut out = String::new();
    if unreadable > 0 {
        let _ = writeln!(out, "[{unreadable} places could not be read]");
    }
    let why = match cut {
        None => return out,
        Some(Cut::Limit) => "as many as were asked for",
        Some(Cut::Bytes) => "the answer is full",
        Some(Cut::Visited) => "too many files to look at",
    };
    let _ = writeln!(out, "[there may be more: {why}]");
    out
}
