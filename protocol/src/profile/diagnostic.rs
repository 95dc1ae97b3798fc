//! Problems of a document, told so that the reader finds the place and knows what to do.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::source::LEFT_OUT;
use crate::policy::Place;
use crate::unseen::is_unseen;

/// Longest part of a source line shown, in characters.
pub const MAX_SHOWN_COLUMNS: usize = 160;

/// Largest distance at which a known word is offered instead of an unknown one.
const MAX_WORD_DISTANCE: usize = 3;

/// Shortest word that is offered because another begins with it, in letters.
const MIN_COMMON_START: usize = 4;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The document is used; something in it has no effect or is likely not meant.
    Warning,
}

/// One problem with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// File, line and column.
    pub place: Place,
    /// Characters from the column on that the problem is about, at least 1.
    pub width: u32,
    /// The source line, control characters made visible. Where something in it may be secret it ends before that with `…`; it is empty
    /// where there is none, or nothing else in it.
    pub line_text: String,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Place { file, line, column } = &self.place;
        writeln!(out, "{word}: {}", self.reason)?;
        let gutter = " ".repeat(line.to_string().len());
        writeln!(out, "{gutter}--> {file}:{line}:{column}")?;
        if !self.line_text.is_empty() {
            let (text, column) = window(&self.line_text, self.shown_column(*column as usize));
            let room = text.chars().count().saturating_sub(column - 1).max(1);
            let carets = "^".repeat((self.width as usize).clamp(1, room));
            writeln!(out, "{gutter} |")?;
            writeln!(out, "{line} | {text}")?;
            writeln!(out, "{gutter} | {}{carets}", " ".repeat(column - 1))?;
        }
        match &self.help {
            Some(help) => writeln!(out, "{gutter} = help: {help}"),
            None => Ok(()),
        }
    }
}

impl Diagnostic {
    /// Where the mark stands below the line: what is left out takes one column.
    fn shown_column(&self, column: usize) -> usize {
        let length = self.line_text.chars().count();
        if self.line_text.ends_with(LEFT_OUT) { column.min(length) } else { column }
    }
}

/// A part of a long line around the column, and the column inside it.
fn window(line: &str, column: usize) -> (String, usize) {
    let length = line.chars().count();
    if length <= MAX_SHOWN_COLUMNS {
        return (line.to_owned(), column);
    }
    let start = column.saturating_sub(MAX_SHOWN_COLUMNS / 2).min(length - MAX_SHOWN_COLUMNS);
    let head = if start > 0 { "…" } else { "" };
    let tail = if start + MAX_SHOWN_COLUMNS < length { "…" } else { "" };
    let text: String = line.chars().skip(start).take(MAX_SHOWN_COLUMNS).collect();
    (format!("{head}{text}{tail}"), column - start + head.chars().count())
}

/// Everything that was found in one or more documents, in the order of their places.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The problems.
    pub diagnostics: Vec<Diagnostic>,
    /// How many more there were than are kept.
    #[serde(default)]
    pub omitted: usize,
}

impl Report {
    /// Adds a problem; beyond [`MAX_DIAGNOSTICS`](super::MAX_DIAGNOSTICS) it is only counted, but an error takes the place
    /// of a warning, so that a report never loses the fact that there was one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if !self.is_full() {
            self.diagnostics.push(diagnostic);
            return;
        }
        self.omitted += 1;
        let warning = self.diagnostics.iter_mut().rev().find(|kept| kept.severity == Severity::Warning);
        if let (Severity::Error, Some(warning)) = (diagnostic.severity, warning) {
            *warning = diagnostic;
        }
    }

    /// Whether further problems of this severity would only be counted.
    #[must_use]
    pub(super) fn only_counts(&self, severity: Severity) -> bool {
        let replaceable = |kept: &Diagnostic| kept.severity == Severity::Warning;
        self.is_full() && (severity == Severity::Warning || !self.diagnostics.iter().any(replaceable))
    }

    fn is_full(&self) -> bool {
        self.diagnostics.len() >= super::MAX_DIAGNOSTICS
    }

    /// Adds all of another report.
    pub fn extend(&mut self, other: Self) {
        self.omitted += other.omitted;
        other.diagnostics.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    /// Whether the document must be refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Sorts by file, line and column, errors first at one place.
    pub fn sort(&mut self) {
        self.diagnostics
            .sort_by(|a, b| (&a.place, a.severity, &a.reason).cmp(&(&b.place, b.severity, &b.reason)));
        self.diagnostics.dedup();
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            write!(out, "{diagnostic}")?;
        }
        if self.omitted > 0 {
            writeln!(out, "\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}

/// The known word nearest to `word`, if any is near: at most a third of the letters differ, or one begins with the other.
#[must_use]
pub fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let lower = word.to_lowercase();
    let length = lower.chars().count();
    let rank = |candidate: &'w str| {
        let other = candidate.to_lowercase();
        let longer = other.chars().count().max(length);
        let shorter = other.chars().count().min(length);
        let distance = strsim::damerau_levenshtein(&lower, &other);
        let alike = distance <= MAX_WORD_DISTANCE.min((longer / 3).max(1));
        let begins = shorter >= MIN_COMMON_START && (lower.starts_with(&other) || other.starts_with(&lower));
        (alike || begins).then_some((!alike, distance, candidate))
    };
    known.into_iter().filter_map(rank).min().map(|(_, _, candidate)| candidate)
}

/// "did you mean …" or the list of known words.
#[must_use]
pub fn offer(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// A character as it may stand in a message: control characters and those that reorder or hide text become visible.
#[must_use]
pub(super) fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        _ if is_unseen(c) => '\u{fffd}',
        _ => c,
    }
}

#[cfg(test)]
#[path = "diagnostic_tests.rs"]
mod tests;
