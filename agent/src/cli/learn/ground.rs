//! Under what a command is learnt from, and what of the host has to be known to judge.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use weir_protocol::denial::Act;
use weir_protocol::method::Call;
use weir_protocol::method::policy::{Choice, Shown};
use weir_protocol::policy::{Access, Layer};
use weir_protocol::recorded::{Recorded, Use};
use weir_protocol::{AbsPath, ByteString, Policy};

use super::super::standpoint::StandpointError;
use super::super::{Overrides, Place};
use crate::learn::{Ground, Tree};
use crate::link::{Link, LinkError};

/// Everything can be read but secrets, and nothing written.
const WIDE: &str = ":read-only";

/// What covers system, toolchains and project.
const ISOLATED: &str = ":isolated";

/// Temporary directories: closed, so that the command finds empty ones of its own, as under any profile that does not grant them.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// The wide profile, with the project in a copy. On top of another profile [`Known::ask`] puts the same.
pub(super) fn wide(place: &Place, overrides: &Overrides) -> Result<Choice, StandpointError> {
    let mut choice = place.choice(Some(WIDE), overrides)?;
    let roots = roots(&choice);
    let written = |root: &AbsPath| choice.write.contains(&text(root));
    let copied = roots.iter().filter(|root| !written(root)).map(text);
    let copied: Vec<String> = copied.collect();
    choice.copy.extend(copied);
    let temporary = TEMPORARY.into_iter().filter_map(|path| AbsPath::parse(path).ok());
    let opened: Vec<String> =
        [&choice.read, &choice.write, &choice.copy].into_iter().flatten().cloned().collect();
    for dir in temporary.chain(choice.standpoint.tmpdir.clone()) {
        let text = text(&dir);
        let is_opened = opened.contains(&text) || roots.iter().any(|root| dir.starts_with(root));
        if !is_opened && !choice.deny.contains(&text) {
            choice.deny.push(text);
        }
    }
    Ok(choice)
}

/// A path as an option names it: as it is, wherever it is UTF-8.
fn text(path: &AbsPath) -> String {
    String::from_utf8(path.as_bytes().to_vec()).unwrap_or_else(|_| path.display().into_owned())
}

/// The project's directories.
pub(super) fn roots(choice: &Choice) -> Vec<AbsPath> {
    let named = &choice.standpoint.project_roots;
    if named.is_empty() { vec![choice.standpoint.cwd.clone()] } else { named.clone() }
}

/// The directories that are changed in a copy only.
pub(super) fn copies(choice: &Choice) -> Vec<AbsPath> {
    let cwd = choice.standpoint.cwd.as_path();
    let home = choice.standpoint.home.as_path();
    let full = |text: &String| match text.strip_prefix("~/") {
        Some(below) => home.join(below),
        None => cwd.join(text),
    };
    choice.copy.iter().filter_map(|text| AbsPath::from_host(&full(text))).collect()
}

/// What the exec-server says of the profiles.
pub(super) struct Known {
    pub(super) wide: Policy,
    isolated: Policy,
    base: Option<Policy>,
}

impl Known {
    /// Asks; answers under what the command is to run as well. The rules that were given for learning belong to no profile but the wide one.
    pub(super) fn ask(
        link: &mut Link,
        choice: Choice,
        base: Option<&str>,
    ) -> Result<(Self, Choice), LinkError> {
        let mut show =
            |choice: Choice| link.call::<Shown>(Call::PolicyShow(choice)).map(|shown| shown.policy);
        let plain = |profile: &str| {
            let none = Vec::new;
            let profile = Some(profile.to_owned());
            Choice { profile, read: none(), write: none(), copy: none(), deny: none(), ..choice.clone() }
        };
        let isolated = show(plain(ISOLATED))?;
        let (base, choice) = match base {
            None => (None, choice),
            Some(name) => {
                let (base, secrets) = (show(plain(name))?, show(plain(WIDE))?);
                let choice = on_top(choice, name, &base, &secrets);
                (Some(base), choice)
            }
        };
        let wide = show(choice.clone())?;
        Ok((Self { wide, isolated, base }, choice))
    }

    pub(super) fn ground<'a>(&'a self, home: &'a AbsPath, roots: &'a [AbsPath]) -> Ground<'a> {
        Ground { wide: &self.wide, isolated: &self.isolated, base: self.base.as_ref(), home, roots }
    }
}

/// A profile, and on top of it all that can be read but secrets. What it closes stays closed; directories that it lets be written are
/// written in a copy.
fn on_top(mut choice: Choice, name: &str, base: &Policy, secrets: &Policy) -> Choice {
    let opened: Vec<String> =
        [&choice.read, &choice.write, &choice.copy].into_iter().flatten().cloned().collect();
    let written = base.filesystem().rules().iter().filter(|rule| {
        let is_named = rule.origin.layer != Layer::Implied && rule.access == Access::Write;
        is_named && rule.path.as_path().is_dir() && !opened.contains(&text(&rule.path))
    });
    let roots = roots(&choice);
    let outside = written.filter(|rule| !roots.iter().any(|root| rule.path.starts_with(root)));
    choice.copy.extend(outside.map(|rule| text(&rule.path)));
    let closed = secrets.filesystem().rules().iter().filter(|rule| rule.access == Access::None);
    let closed = closed.map(|rule| &rule.path).filter(|path| base.access(path) == Access::None);
    choice.deny.extend(closed.map(text).filter(|path| !opened.contains(path)));
    choice.read.push(text(&AbsPath::root()));
    choice.profile = Some(name.to_owned());
    choice
}

/// The host's file tree, as this user sees it.
pub(super) struct HostTree;

impl Tree for HostTree {
    fn is_directory(&self, path: &AbsPath) -> bool {
        path.as_path().is_dir()
    }

    fn real(&self, path: &AbsPath) -> Option<AbsPath> {
        AbsPath::from_host(&path.as_path().canonicalize().ok()?)
    }
}

/// Adds the name under which the command was found, where that is a symbolic link: the record has where it leads.
pub(super) fn add_link(recorded: &mut Recorded, choice: &Choice, command: &[OsString]) {
    let Some(found) = command.first().and_then(|name| program(choice.standpoint.cwd.as_path(), name)) else {
        return;
    };
    let is_link = found.canonicalize().is_ok_and(|real| real != found);
    if let (true, Some(path)) = (is_link, AbsPath::from_host(&found)) {
        let path = ByteString(path.as_bytes().to_vec());
        recorded.add(Use { operation: Act::Execute, path, program: None });
    }
}

/// Where a command is found: at its path, or in `PATH`.
fn program(cwd: &Path, name: &OsString) -> Option<PathBuf> {
    if name.as_encoded_bytes().contains(&b'/') {
        return Some(cwd.join(name));
    }
    let places = std::env::var_os("PATH")?;
    std::env::split_paths(&places).map(|place| cwd.join(place).join(name)).find(|path| path.is_file())
}
