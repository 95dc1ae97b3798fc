//! What Landlock refuses by: the words of `blockers=`.

use weir_protocol::denial::Act;

/// One word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocker {
    /// As the kernel writes it.
    pub word: &'static str,
    /// What was tried.
    pub act: Act,
}

/// Every word that is known (`security/landlock/audit.c`).
const WORDS: [(&str, Act); 22] = [
    ("fs.execute", Act::Execute),
    ("fs.write_file", Act::Write),
    ("fs.read_file", Act::Read),
    ("fs.read_dir", Act::List),
    ("fs.remove_dir", Act::RemoveDirectory),
    ("fs.remove_file", Act::Remove),
    ("fs.make_char", Act::MakeNode),
    ("fs.make_dir", Act::MakeDirectory),
    ("fs.make_reg", Act::Create),
    ("fs.make_sock", Act::MakeNode),
    ("fs.make_fifo", Act::MakeNode),
    ("fs.make_block", Act::MakeNode),
    ("fs.make_sym", Act::MakeLink),
    ("fs.refer", Act::Move),
    ("fs.truncate", Act::Truncate),
    ("fs.ioctl_dev", Act::Control),
    ("fs.change_topology", Act::Mount),
    ("net.bind_tcp", Act::Bind),
    ("net.connect_tcp", Act::Connect),
    ("scope.abstract_unix_socket", Act::Connect),
    ("scope.signal", Act::Signal),
    ("ptrace", Act::Trace),
];

impl Blocker {
    /// The one that needs most of those that are named, the first where several need as much; a word of a later kernel is passed over.
    #[must_use]
    pub fn strongest(words: &str) -> Option<Self> {
        let known = words.split(',').filter_map(Self::named);
        known.reduce(|best, next| if next.act.access() > best.act.access() { next } else { best })
    }

    fn named(word: &str) -> Option<Self> {
        WORDS.iter().find(|(known, _)| *known == word).map(|(word, act)| Self { word, act: *act })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_word_counts() {
        let cases = [
            ("fs.read_file", Some(Act::Read)),
            ("fs.read_file,fs.write_file", Some(Act::Write)),
            ("fs.make_reg,fs.refer", Some(Act::Create)),
            ("fs.refer", Some(Act::Move)),
            ("scope.signal", Some(Act::Signal)),
            ("fs.later,fs.read_dir", Some(Act::List)),
            ("fs.later", None),
            ("", None),
        ];
        for (words, expect) in cases {
            assert_eq!(Blocker::strongest(words).map(|found| found.act), expect, "{words}");
        }
    }
}
