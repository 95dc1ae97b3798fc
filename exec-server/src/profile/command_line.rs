//! The paths of one command line as rules.
//!
//! A person names a path there as for any program: relative to the working directory, with `..`, with whatever characters the names
//! have. What is before the path is a directory and never part of a pattern, and what names something that is there names it. Only
//! what is left is read as rules are: special paths, and patterns that deny.

use weir_protocol::path::PathError;
use weir_protocol::policy::glob::has_wildcard;
use weir_protocol::policy::{Access, Layer, Origin};
use weir_protocol::profile::document::{Base, Below, PathEntry, PathKey, Token};
use weir_protocol::profile::{Format, MAX_RULES, Profile, Report};
use weir_protocol::{AbsPath, ByteString};

use super::load::{Selection, parse};
use super::surroundings::{Surroundings, Terrain, Walker};

/// The profile in which the rules stand.
const PROFILE: &str = "command-line";

/// Why a path of the command line is no rule.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommandLineError {
    /// No path that a rule may name.
    #[error("command line: `{text}`: {source}")]
    Path {
        /// What was written.
        text: ByteString,
        /// What is wrong.
        source: PathError,
    },
    /// `..` behind a pattern, which has no one directory.
    #[error("command line: `{text}`: `..` cannot follow a pattern")]
    Above {
        /// What was written.
        text: ByteString,
    },
    /// More than a document may have.
    #[error("command line: more than {MAX_RULES} paths; name directories instead of single files")]
    TooMany,
    /// No special path and no pattern.
    #[error("{0}")]
    Reader(Report),
}

/// What a text turns out to name.
enum Named {
    /// Something for which there is a key.
    Key(PathKey),
    /// What the reader of rules has to say of this key.
    Rule(String),
    /// A pattern below a directory.
    Pattern(Base, String),
}

/// The rules of a command line, seen from where its caller stands.
pub(super) fn rules(
    selection: &Selection,
    around: &Surroundings,
    terrain: &impl Terrain,
) -> Result<Profile, CommandLineError> {
    let Selection { read, write, copy, deny, .. } = selection;
    let lists = [
        (read, "--read", Access::Read),
        (write, "--write", Access::Write),
        (copy, "--copy", Access::Copy),
        (deny, "--deny", Access::None),
    ];
    if lists.iter().map(|(texts, ..)| texts.len()).sum::<usize>() > MAX_RULES {
        return Err(CommandLineError::TooMany);
    }
    let mut profile = Profile::default();
    let mut line = Line { around, walker: Walker::new(terrain) };
    for (texts, option, access) in lists {
        for text in texts {
            let rule = format!("{option} {}", ByteString::from(text.as_str()));
            let origin = Origin { layer: Layer::CommandLine, profile: PROFILE.to_owned(), place: None, rule };
            let named = line.named(text, access)?;
            let names_something = matches!(named.as_slice(), [Named::Key(_), ..]);
            for named in named {
                match keyed(named, access) {
                    Ok(key) => {
                        profile.filesystem.insert(key, PathEntry { access, origin: origin.clone() });
                    }
                    // A name with a bracket in it need not be a proper pattern.
                    Err(_) if names_something => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(profile)
}

/// The key of what was named; special paths and patterns pass through the reader of every other rule.
fn keyed(named: Named, access: Access) -> Result<PathKey, CommandLineError> {
    let word = access.to_string();
    match named {
        Named::Key(key) => Ok(key),
        Named::Rule(text) => read(&serde_json::json!({ text: word })),
        Named::Pattern(base, text) => {
            // A nested table leaves the base out of the pattern; which one it is does not matter to the reader.
            let (_, below) = read(&serde_json::json!({ ":cwd": { text: word } }))?;
            Ok((base, below))
        }
    }
}

fn read(filesystem: &serde_json::Value) -> Result<PathKey, CommandLineError> {
    let document = serde_json::json!({ "permissions": { PROFILE: { "filesystem": filesystem } } });
    let reading = parse("command line", document.to_string().into_bytes(), Format::Json, Layer::CommandLine);
    let mut profiles = reading.document.map(|document| document.profiles).unwrap_or_default();
    let key = profiles.remove(PROFILE).and_then(|profile| profile.filesystem.into_keys().next());
    key.ok_or(CommandLineError::Reader(reading.report))
}

/// Where the caller of a command line stands.
struct Line<'a, T> {
    around: &'a Surroundings,
    walker: Walker<'a, T>,
}

impl<T: Terrain> Line<'_, T> {
    /// What `text` names. A denial that could be meant both ways is both: a command that makes a file of a pattern's name lifts no denial.
    fn named(&mut self, text: &str, access: Access) -> Result<Vec<Named>, CommandLineError> {
        if text.starts_with(':') || text == "~" || text.starts_with('~') && !text.starts_with("~/") {
            return Ok(vec![Named::Rule(text.to_owned())]);
        }
        let failed = |source| CommandLineError::Path { text: text.into(), source };
        let (base, start, rest) = self.split(text);
        let mut names: Vec<&str> = rest.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
        if text.is_empty() {
            return Err(failed(PathError::Empty));
        }
        let (base, dir) = match names.iter().rposition(|name| *name == "..") {
            None => (base, start),
            Some(last) => {
                let below = names.split_off(last + 1);
                let dir = self.above(&start, &names, text)?;
                names = below;
                (Base::Path(dir.clone()), dir)
            }
        };
        // A grant on `dir/**` is a grant on `dir`, in rules as well.
        if access != Access::None && names.last() == Some(&"**") {
            names.pop();
        }
        let below = names.join("/");
        let place = if below.is_empty() { dir } else { dir.join(&below).map_err(failed)? };
        let is_pattern = has_wildcard(&below);
        let mut found = Vec::new();
        if !is_pattern || self.walker.terrain().exists(&place) {
            found.push(Named::Key(match &base {
                _ if place.is_root() => (Base::Token(Token::Root), Below::Path(String::new())),
                Base::Path(_) => (Base::Path(place), Below::Path(String::new())),
                Base::Token(_) => (base.clone(), Below::Path(below.clone())),
            }));
        }
        if is_pattern && (found.is_empty() || access == Access::None) {
            found.push(Named::Pattern(base, below));
        }
        Ok(found)
    }

    /// The directory from which a text goes on, and how.
    fn split<'t>(&self, text: &'t str) -> (Base, AbsPath, &'t str) {
        let around = self.around;
        match (text.strip_prefix("~/"), text.starts_with('/')) {
            (Some(rest), _) => (Base::Token(Token::Home), around.home.clone(), rest),
            (None, true) => (Base::Path(AbsPath::root()), AbsPath::root(), text),
            (None, false) => (Base::Path(around.cwd.clone()), around.cwd.clone(), text),
        }
    }

    /// Where `names`, the last of which is `..`, lead from `start`: behind a symbolic link, above where it leads.
    fn above(&mut self, start: &AbsPath, names: &[&str], text: &str) -> Result<AbsPath, CommandLineError> {
        let start = self.walker.follow(start).real;
        let mut dir = start;
        for name in names {
            let failed = |source| CommandLineError::Path { text: text.into(), source };
            if *name == ".." {
                dir = dir.parent().unwrap_or_else(AbsPath::root);
                continue;
            }
            let next = dir.join(name).map_err(failed)?;
            if has_wildcard(name) && !self.walker.terrain().exists(&next) {
                return Err(CommandLineError::Above { text: text.into() });
            }
            dir = self.walker.follow(&next).real;
        }
        Ok(dir)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::PathBuf;

    use super::*;
    use crate::profile::resolve::resolve;
    use crate::profile::surroundings::Look;

    /// A file tree in which these names are, and these links.
    #[derive(Default)]
    struct Tree {
        names: BTreeSet<AbsPath>,
        links: BTreeMap<AbsPath, PathBuf>,
    }

    impl Terrain for Tree {
        fn look(&self, name: &AbsPath) -> Look {
            self.links.get(name).cloned().map_or(Look::Other, Look::Link)
        }

        fn exists(&self, name: &AbsPath) -> bool {
            self.names.contains(name)
        }

        fn is_directory(&self, _: &AbsPath) -> bool {
            false
        }

        fn read_small(&self, _: &AbsPath) -> Option<Vec<u8>> {
            None
        }
    }

    fn path(bytes: impl AsRef<[u8]>) -> AbsPath {
        AbsPath::parse(bytes).unwrap()
    }

    fn around(cwd: &AbsPath) -> Surroundings {
        Surroundings {
            home: path("/home/me"),
            cwd: cwd.clone(),
            project_roots: vec![cwd.clone()],
            tmpdir: None,
            weir_home: path("/home/me/.weir"),
            other_homes: Vec::new(),
        }
    }

    fn selection(text: &str, access: Access) -> Selection {
        let mut out = Selection::default();
        let list = match access {
            Access::Read => &mut out.read,
            Access::Write => &mut out.write,
            Access::Copy => &mut out.copy,
            Access::None => &mut out.deny,
        };
        list.push(text.to_owned());
        out
    }

    /// The paths and patterns that one option stands for, or what is wrong with it.
    fn found(cwd: &AbsPath, text: &str, access: Access, tree: &Tree) -> Result<Vec<String>, String> {
        let around = around(cwd);
        let profile = rules(&selection(text, access), &around, tree).map_err(|error| error.to_string())?;
        let policy = resolve("test", &profile, &around, tree).unwrap().policy;
        let fs = policy.filesystem();
        let named = fs.rules().iter().filter(|rule| rule.origin.layer == Layer::CommandLine);
        let patterns = fs.globs().iter().map(|rule| rule.pattern.to_string());
        Ok(named.map(|rule| rule.path.to_string()).chain(patterns).collect())
    }

    /// No name of a directory is part of a pattern, nor lost.
    #[test]
    fn the_working_directory_is_taken_as_it_is() {
        let directories: [&[u8]; 10] = [
            b"/p/plain",
            b"/p/[slug]",
            b"/p/a*b",
            b"/p/a?b",
            b"/p/b\\[x",
            b"/p/nl\nx",
            b"/p/\t",
            b"/p/\x1bx",
            b"/p/u\xff",
            b"/p/{a,b}",
        ];
        for cwd in directories.map(path) {
            for (access, text) in [
                (Access::None, "s"),
                (Access::Read, "./s"),
                (Access::Write, "s/"),
                (Access::Copy, "./a/../s"),
            ] {
                let expect = cwd.join("s").unwrap().to_string();
                let found = found(&cwd, text, access, &Tree::default());
                assert_eq!(found, Ok(vec![expect]), "{cwd} {text}");
            }
            let written = found(&cwd, ".", Access::Write, &Tree::default());
            assert_eq!(written, Ok(vec![cwd.to_string()]));
            let around = around(&cwd);
            let closed = rules(&selection("*.key", Access::None), &around, &Tree::default()).unwrap();
            let policy = resolve("test", &closed, &around, &Tree::default()).unwrap().policy;
            assert_eq!(policy.filesystem().globs()[0].pattern.base(), cwd);
        }
    }

    #[test]
    fn what_is_there_is_meant_and_a_denial_as_pattern_too() {
        let tree = Tree {
            names: ["/p/[ab]", "/p/x[1", "/p/app/[slug]/s", "/home/me/[ab]"].map(path).into(),
            ..Tree::default()
        };
        let cases: [(&str, Access, &[&str]); 9] = [
            ("[ab]", Access::Write, &["/p/[ab]"]),
            ("[ab]", Access::None, &["/p/[ab]", "/p/[ab]"]),
            ("x[1", Access::None, &["/p/x[1"]),
            ("app/[slug]/s", Access::Copy, &["/p/app/[slug]/s"]),
            ("~/[ab]", Access::Read, &["/home/me/[ab]"]),
            ("app/\\[id]", Access::Read, &["/p/app/[id]"]),
            ("nl\nx", Access::None, &["/p/nl\\nx"]),
            ("dir/**", Access::Read, &["/p/dir"]),
            ("/", Access::Read, &["/"]),
        ];
        for (text, access, expect) in cases {
            let found = found(&path("/p"), text, access, &tree).unwrap();
            assert_eq!(found, expect, "{text} {access}");
        }
    }

    #[test]
    fn the_directory_above_is_the_one_that_the_kernel_finds() {
        let tree = Tree {
            names: ["/p/[x]"].map(path).into(),
            links: [(path("/p/link"), PathBuf::from("/srv/deep/in"))].into(),
        };
        let cases: [(&str, &[&str]); 7] = [
            ("..", &["/"]),
            ("../shared", &["/shared"]),
            ("../../../s", &["/s"]),
            ("link/../s", &["/srv/deep/s"]),
            ("[x]/../s", &["/p/s"]),
            ("~/../you", &["/home/you"]),
            ("/p/link/..", &["/srv/deep"]),
        ];
        for (text, expect) in cases {
            assert_eq!(found(&path("/p"), text, Access::Read, &tree).unwrap(), expect, "{text}");
        }
        assert_eq!(found(&path("/p"), "../*.key", Access::None, &tree).unwrap(), ["/*.key"]);
    }

    #[test]
    fn what_is_no_path_is_refused() {
        let cases = [
            ("", "the path is empty"),
            ("a\0b", "a NUL byte cannot be part of a path"),
            ("a*", "a pattern can only deny, not grant read"),
            ("*/../a", "`..` cannot follow a pattern"),
            (":nothing", "unknown special path `:nothing`"),
            ("~you", "the path is not absolute"),
        ];
        for (text, expect) in cases {
            let error = found(&path("/p"), text, Access::Read, &Tree::default()).unwrap_err();
            assert!(error.contains(expect), "{text:?}: {error}");
        }
    }
}
