//! Names of which a file system may know several spellings: in another case, or with characters that it ignores.
//!
//! There a path that the kernel tells is spelled as its caller wrote it, so that what a rule closes as `.env` would be open as `.ENV`. Where a
//! file system may do so, paths, rules and patterns are compared once more in one spelling, which only ever closes more.

use std::collections::BTreeMap;

use weir_protocol::AbsPath;
use weir_protocol::policy::glob::{Component, Token};

use crate::broker::Folding;
use crate::mounts::Mounts;

/// Types of file system (`/proc/filesystems`) whose names may have several spellings: those of other systems, and those that ask another
/// machine or a program, which may be one of such a system. A directory of ext4 or f2fs that folds (`FS_CASEFOLD_FL`) cannot be told
/// by its mount.
const FOLDING_TYPES: [&[u8]; 19] = [
    b"9p",
    b"apfs",
    b"cifs",
    b"drvfs",
    b"exfat",
    b"fuse",
    b"fuseblk",
    b"hfs",
    b"hfsplus",
    b"msdos",
    b"nfs",
    b"nfs4",
    b"ntfs",
    b"ntfs3",
    b"smb3",
    b"vboxsf",
    b"vfat",
    b"virtiofs",
    b"zfs",
];

/// Every place where something is mounted, and whether names there are compared in one spelling; nothing where they nowhere are.
#[must_use]
pub fn places(mounts: &Mounts) -> BTreeMap<AbsPath, Folding> {
    let folding = |kind: &[u8]| {
        let kind = kind.split(|byte| *byte == b'.').next().unwrap_or_default();
        if FOLDING_TYPES.contains(&kind) { Folding::Folded } else { Folding::Exact }
    };
    let all = mounts.all().iter().map(|mount| (mount, folding(&mount.kind)));
    if all.clone().all(|(_, folding)| folding == Folding::Exact) {
        return BTreeMap::new();
    }
    all.filter(|(mount, _)| mounts.is_seen(mount))
        .filter_map(|(mount, folding)| Some((AbsPath::parse(mount.point.as_slice()).ok()?, folding)))
        .collect()
}

/// One spelling for all those of a path.
pub(super) fn of_path(path: &[u8]) -> Vec<u8> {
    path.split(|byte| *byte == b'/').map(of_name).collect::<Vec<_>>().join(&b'/')
}

/// One spelling for all those of a name: each letter in lower case, as its upper case has it, without characters that are ignored, and
/// without dots and blanks at the end (vfat).
fn of_name(name: &[u8]) -> Vec<u8> {
    let folded = of_text(name);
    let end = folded.iter().rposition(|byte| !matches!(byte, b'.' | b' ')).map_or(0, |last| last + 1);
    if end == 0 { name.to_vec() } else { folded[..end].to_vec() }
}

fn of_text(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        let kept = chunk.valid().chars().filter(|one| !is_ignored(*one));
        let folded: String = kept.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
        out.extend_from_slice(folded.as_bytes());
        out.extend_from_slice(chunk.invalid());
    }
    out
}

/// Characters that file systems which fold leave out (Unicode: `Default_Ignorable_Code_Point`).
///
/// Not [`is_unseen`](weir_protocol::unseen::is_unseen), which is about people: a blank that passes for a space, or a sign of format that is no such
/// code point, is not seen, and yet two names with and without it are two files everywhere. All that is left out here is among what is not seen.
const fn is_ignored(one: char) -> bool {
    matches!(one,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// A component of a pattern that matches each name in its one spelling that one of its spellings matches.
pub(crate) fn of_component(component: &Component) -> Component {
    match component {
        Component::Literal(name) => Component::Literal(of_name(name)),
        Component::Pattern(tokens) => Component::Pattern(of_tokens(tokens)),
        Component::AnyDepth => Component::AnyDepth,
    }
}

fn of_tokens(tokens: &[Token]) -> Vec<Token> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut text = Vec::new();
    for token in tokens {
        if let Token::Byte(byte) = token {
            text.push(*byte);
            continue;
        }
        out.extend(of_text(&std::mem::take(&mut text)).into_iter().map(Token::Byte));
        out.push(match token {
            Token::Class { negated, ranges } => of_class(*negated, ranges),
            other => other.clone(),
        });
    }
    out.extend(of_text(&text).into_iter().map(Token::Byte));
    out
}

/// The set of the lower-case spellings of all that a set holds.
fn of_class(negated: bool, ranges: &[(u8, u8)]) -> Token {
    let holds = |byte: u8| ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != negated;
    let folded =
        |byte: u8| holds(byte) || holds(byte.to_ascii_uppercase()) || holds(byte.to_ascii_lowercase());
    let ranges = (0..=127u8).filter(|byte| folded(*byte) != negated).map(|byte| (byte, byte)).collect();
    Token::Class { negated, ranges }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path_is_one() {
        let cases = [
            ("/w/.Git/CONFIG", "/w/.git/config"),
            ("/w/x.env. ", "/w/x.env"),
            ("/w/K\u{212a}\u{17f}S", "/w/kkss"),
            ("/w/\u{c4}\u{3a3}\u{200d}x", "/w/\u{e4}\u{3c3}x"),
            ("/w/...", "/w/..."),
            ("/", "/"),
        ];
        for (path, want) in cases {
            assert_eq!(String::from_utf8_lossy(&of_path(path.as_bytes())), want);
        }
        assert_eq!(of_path(b"/A\xff/B"), b"/a\xff/b");
    }

    #[test]
    fn what_is_left_out_is_named_where_it_is_shown() {
        let mut all = (0..=0x0010_ffff).filter_map(char::from_u32);
        assert_eq!(all.find(|one| is_ignored(*one) && !weir_protocol::unseen::is_unseen(*one)), None);
        for seen_by_file_systems in ['\u{a0}', '\u{600}', '\u{3000}', '\n'] {
            assert!(!is_ignored(seen_by_file_systems));
        }
    }

    #[test]
    fn only_where_something_folds_places_are_told() {
        let table = |kind: &str| {
            Mounts::of(format!("22 1 8:1 / / rw - ext4 x rw\n30 22 0:9 / /m rw - {kind} x rw\n").as_bytes())
        };
        for kind in ["tmpfs", "fusectl", "xfs"] {
            assert!(places(&table(kind)).is_empty(), "{kind}");
        }
        for kind in ["fuse", "fuse.sshfs", "9p", "vfat"] {
            let found: Vec<Folding> = places(&table(kind)).into_values().collect();
            assert_eq!(found, [Folding::Exact, Folding::Folded], "{kind}");
        }
    }
}
