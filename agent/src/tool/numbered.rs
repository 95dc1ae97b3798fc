//! Lines of a file with their numbers, taken from pieces that end anywhere.

use std::fmt::Write as _;

/// Most bytes of text that come of one reading.
const MAX_BYTES: usize = 1 << 20;

/// The lines that were asked for, as far as they have come.
#[derive(Debug)]
pub(super) struct Numbered {
    first: u64,
    limit: u64,
    /// The line that is not complete.
    begun: Vec<u8>,
    /// Complete lines so far.
    seen: u64,
    taken: u64,
    text: String,
}

impl Numbered {
    /// So many lines from this one on, counted from 1.
    pub(super) fn new(first: u64, limit: u64) -> Self {
        Self { first: first.max(1), limit, begun: Vec::new(), seen: 0, taken: 0, text: String::new() }
    }

    /// Takes in the next piece; `is_last` where the file ends behind it. False when no more is wanted.
    pub(super) fn add(&mut self, piece: &[u8], is_last: bool) -> bool {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(part);
            if part.ends_with(b"\n") && !self.line() {
                return false;
            }
        }
        !is_last || self.begun.is_empty() || self.line()
    }

    fn line(&mut self) -> bool {
        if self.taken >= self.limit || self.text.len() > MAX_BYTES {
            return false;
        }
        let line = std::mem::take(&mut self.begun);
        self.seen += 1;
        if self.seen >= self.first {
            self.taken += 1;
            let text = String::from_utf8_lossy(&line);
            let _ = writeln!(self.text, "{:6}\t{}", self.seen, text.trim_end_matches('\n'));
        }
        true
    }

    /// The text, with what is behind it or why it is empty.
    pub(super) fn finish(mut self, has_more: bool) -> String {
        if has_more {
            let _ = writeln!(self.text, "[… there is more, from line {} …]", self.seen + 1);
        } else if self.taken == 0 {
            self.text = format!("There is no line {}: the file has {}.", self.first, self.seen);
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_across_pieces() {
        let cases: [(u64, u64, &[&str], &str); 6] = [
            (1, 9, &["one\ntw", "o\nthree"], "     1\tone\n     2\ttwo\n     3\tthree\n"),
            (2, 1, &["one\ntwo\nthree\n"], "     2\ttwo\n[… there is more, from line 3 …]\n"),
            (3, 1, &["one\ntwo\nthree\n"], "     3\tthree\n"),
            (4, 1, &["one\ntwo\nthree\n"], "There is no line 4: the file has 3."),
            (1, 1, &[""], "There is no line 1: the file has 0."),
            (1, 2, &["\n", "\n"], "     1\t\n     2\t\n"),
        ];
        for (first, limit, pieces, expect) in cases {
            let mut numbered = Numbered::new(first, limit);
            let last = pieces.len() - 1;
            let is_wanted =
                pieces.iter().enumerate().all(|(at, piece)| numbered.add(piece.as_bytes(), at == last));
            assert_eq!(numbered.finish(!is_wanted), expect, "{pieces:?} from {first}");
        }
    }
}
