//! Finding and reading the layers, and choosing the profile: built-in, requirements, user, trusted project, command line.
//!
//! Whatever is wrong with any of them, there is no policy: nothing is half-loaded and nothing chosen instead.

use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use weir_protocol::policy::{Excess, Layer, Origin, Policy};
use weir_protocol::profile::document::{Document, Legacy};
use weir_protocol::profile::trust::PROJECT_CONFIG;
use weir_protocol::profile::{
    Diagnostic, Format, MAX_DOCUMENT_BYTES, Profile, Report, Severity, Source, Standing, Trust, read,
};

use super::builtin;
use super::ceiling::{self, Caller, Refusal};
use super::command_line::{self, CommandLineError};
use super::merge::{self, MergeError};
use super::resolve::{ETC_WEIR, ResolveError, Resolved, resolve};
use super::surroundings::{Host, Surroundings};

/// File name of the administrator's requirements in [`ETC_WEIR`].
const REQUIREMENTS: &str = "requirements.toml";

/// What the caller chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Read this file instead of the user's `config.toml`.
    pub config: Option<PathBuf>,
    /// Use this profile.
    pub profile: Option<String>,
    /// More paths to read, for this run.
    pub read: Vec<String>,
    /// More paths to write, for this run.
    pub write: Vec<String>,
    /// More paths to write in a copy, for this run.
    pub copy: Vec<String>,
    /// Paths to close, for this run.
    pub deny: Vec<String>,
}

/// A policy with everything that is known of how it came to be.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// Warnings about the documents.
    pub report: Report,
    /// Remarks about how the profile fits this host.
    pub remarks: Vec<String>,
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The documents have errors.
    #[error("{0}")]
    Documents(Report),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The requirements, or a directory above them, could be changed by someone other than root.
    #[error("{} must belong to root and be writable by nobody else (owner {uid}, mode {mode:04o}); fix it with `chown root` and `chmod go-w`", .path.display())]
    Requirements {
        /// The file or directory.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// The requirements, or their directory, are a symbolic link: whether what it leads to is there, and whose the way to it is, is not the
    /// administrator's alone to say.
    #[error("{} is a symbolic link; requirements are read from a file and a directory of root's own", .path.display())]
    Linked {
        /// The link.
        path: PathBuf,
    },
    /// A path of the command line is no rule.
    #[error("{0}")]
    CommandLine(#[from] CommandLineError),
    /// Profiles cannot be put together.
    #[error("{0}")]
    Merge(#[from] MergeError),
    /// The profile has no meaning here.
    #[error("{0}")]
    Resolve(#[from] ResolveError),
    /// A profile that the administrator offers under a ceiling on names is defined again.
    #[error(
        "profile `{name}` belongs to the administrator ({ETC_WEIR}/{REQUIREMENTS}) and cannot be changed in {whose} configuration; give yours another name"
    )]
    Administered {
        /// The profile.
        name: String,
        /// Whose configuration defines it again.
        whose: &'static str,
    },
    /// The project's configuration is not the one that was trusted.
    #[error(
        "{} is not what it was when the project was trusted; read it, then `weir trust --yes {}` trusts it as it is now",
        .path.display(), .root.display()
    )]
    Changed {
        /// The configuration.
        path: PathBuf,
        /// The project.
        root: PathBuf,
    },
    /// The project's configuration would widen what the user allows.
    #[error("the project's configuration may only narrow, and would allow more:{}", lines(.0))]
    Widened(Vec<Excess>),
    /// The ceiling refuses.
    #[error("refused by {ETC_WEIR}/{REQUIREMENTS}:{}", lines(.0))]
    Refused(Vec<Refusal>),
}

fn lines(items: &[impl ToString]) -> String {
    items.iter().map(|item| format!("\n  - {}", item.to_string())).collect()
}

/// Every document that counts.
#[derive(Debug, Default)]
struct Layers {
    requirements: Document,
    user: Document,
    project: Document,
    report: Report,
    sources: Vec<Source>,
}

/// Loads the policy that `selection` asks for. Who asks is looked up where there is a ceiling, and only there: the user database may be far away.
///
/// # Errors
/// [`LoadError`]; there is never another policy in its place.
pub fn load(
    selection: &Selection,
    around: &Surroundings,
    caller: impl FnOnce() -> Caller,
) -> Result<Loaded, LoadError> {
    load_with(selection, around, caller, Path::new(ETC_WEIR), 0)
}

/// The administrator's requirements alone; empty where there are none.
///
/// # Errors
/// [`LoadError`] when they cannot be read, or someone else could have written them.
pub(super) fn requirements(etc: &Path, administrator: u32) -> Result<Document, LoadError> {
    let mut layers = Layers::default();
    let path = etc.join(REQUIREMENTS);
    let Some(bytes) = read_file(&path, Some((etc, administrator)))? else { return Ok(Document::default()) };
    let document = layers.parse(&path, bytes, Layer::Requirements);
    if layers.report.has_errors() { Err(LoadError::Documents(layers.report)) } else { Ok(document) }
}

/// As [`load`], with another directory and owner for the requirements, which only tests name.
///
/// # Errors
/// As [`load`].
pub fn load_with(
    selection: &Selection,
    around: &Surroundings,
    caller: impl FnOnce() -> Caller,
    etc: &Path,
    administrator: u32,
) -> Result<Loaded, LoadError> {
    let layers = read_layers(selection, around, etc, administrator)?;
    let sources = layers.sources.clone();
    put_together(selection, around, caller, layers).map_err(|error| error.in_its_place(&sources))
}

impl LoadError {
    /// A fault that a line of a document caused, shown at that line.
    fn in_its_place(self, sources: &[Source]) -> Self {
        let Self::Merge(error) = &self else { return self };
        let Some(place) = error.place() else { return self };
        let Some(source) = sources.iter().find(|source| source.name() == place.file) else { return self };
        let diagnostic = source.diagnostic_at(Severity::Error, place, error.to_string());
        Self::Documents(Report { diagnostics: vec![diagnostic], omitted: 0 })
    }
}

fn put_together(
    selection: &Selection,
    around: &Surroundings,
    caller: impl FnOnce() -> Caller,
    layers: Layers,
) -> Result<Loaded, LoadError> {
    let over = command_line::rules(selection, around, &Host::default())?;
    let Layers { requirements, user, project, report, sources: _ } = layers;
    check_administered(&requirements, [("the user's", &user), ("the project's", &project)])?;
    let base = [builtin::document(), &requirements, &user];
    let outer = Choice::make(&base, selection.profile.as_deref(), &user, &requirements);
    let narrowed = !project.profiles.is_empty() || project.default_permissions.is_some();
    let (chosen, mut profile) = if narrowed {
        narrow(&base, &project, selection, (outer?, user.legacy.as_ref()), around)?
    } else {
        let (name, profile) = outer?;
        (name, profile)
    };
    profile = merge::over(profile, &over);
    let Some(ceiling) = &requirements.ceiling else {
        let Resolved { policy, remarks } = resolve(&chosen, &profile, around, &Host::default())?;
        return Ok(Loaded { policy, report, remarks });
    };
    let caller = caller();
    let (ceiling, around) = &caller.below(ceiling, around);
    let overridden = ceiling::overridden(&profile, ceiling);
    profile = ceiling::impose(&profile, ceiling);
    let Resolved { policy, remarks } = resolve(&chosen, &profile, around, &Host::default())?;
    let mut refused = ceiling::refusals(&chosen, &policy, ceiling, &caller, around, &Host::default())?;
    refused.extend(overridden);
    if refused.is_empty() {
        refused = ceiling::beyond_its_name(&policy, &requirements, ceiling, around, &Host::default())?;
    }
    if refused.is_empty() { Ok(Loaded { policy, report, remarks }) } else { Err(LoadError::Refused(refused)) }
}

/// Where the ceiling goes by names, what stands behind a name must be the administrator's alone.
fn check_administered(
    requirements: &Document,
    others: [(&'static str, &Document); 2],
) -> Result<(), LoadError> {
    let by_name = requirements
        .ceiling
        .as_ref()
        .is_some_and(|ceiling| ceiling.profiles.is_some() || !ceiling.who.is_empty());
    for (whose, document) in others.into_iter().filter(|_| by_name) {
        if let Some(name) = document.profiles.keys().find(|name| requirements.profiles.contains_key(*name)) {
            return Err(LoadError::Administered { name: name.clone(), whose });
        }
    }
    Ok(())
}

/// The choice of a profile.
struct Choice;

impl Choice {
    /// The profile named on the command line, else by the user, else by the administrator, else `:workspace`.
    fn make(
        layers: &[&Document],
        named: Option<&str>,
        user: &Document,
        requirements: &Document,
    ) -> Result<(String, Profile), MergeError> {
        let profiles = merge::profiles(layers.iter().copied());
        if let Some(name) = named {
            return Ok((name.to_owned(), merge::extended(&profiles, name, None)?));
        }
        if let Some(Legacy { profile, rules }) = &user.legacy {
            let below = merge::extended(&profiles, &profile.value, Some(&profile.origin))?;
            return Ok((profile.value.clone(), merge::over(below, rules)));
        }
        let default = user.default_permissions.as_ref().or(requirements.default_permissions.as_ref());
        let (name, by): (&str, Option<&Origin>) =
            default.map_or((builtin::DEFAULT, None), |default| (&default.value, Some(&default.origin)));
        Ok((name.to_owned(), merge::extended(&profiles, name, by)?))
    }
}

/// The profile with the project's configuration, refused where it allows more than without.
fn narrow(
    base: &[&Document; 3],
    project: &Document,
    selection: &Selection,
    (outer, legacy): ((String, Profile), Option<&Legacy>),
    around: &Surroundings,
) -> Result<(String, Profile), LoadError> {
    let profiles = merge::profiles(base.iter().copied().chain([project]));
    let by = project.default_permissions.as_ref();
    let name = match (&selection.profile, by) {
        (Some(name), _) => name.clone(),
        (None, Some(default)) => default.value.clone(),
        (None, None) => outer.0.clone(),
    };
    let mut inner = merge::extended(&profiles, &name, by.map(|default| &default.origin))?;
    if let Some(legacy) = legacy.filter(|legacy| selection.profile.is_none() && legacy.profile.value == name)
    {
        inner = merge::over(inner, &legacy.rules);
    }
    let limit = resolve(&outer.0, &outer.1, around, &Host::default())?.policy;
    let excess = resolve(&name, &inner, around, &Host::default())?.policy.excess_over(&limit);
    if excess.is_empty() { Ok((name, inner)) } else { Err(LoadError::Widened(excess)) }
}

fn read_layers(
    selection: &Selection,
    around: &Surroundings,
    etc: &Path,
    administrator: u32,
) -> Result<Layers, LoadError> {
    let mut layers = Layers::default();
    let requirements = etc.join(REQUIREMENTS);
    if let Some(bytes) = read_file(&requirements, Some((etc, administrator)))? {
        layers.requirements = layers.parse(&requirements, bytes, Layer::Requirements);
    }
    let default = around.weir_home.as_path().join("config.toml");
    let user = selection.config.as_deref().unwrap_or(&default);
    match read_file(user, None)? {
        Some(bytes) => layers.user = layers.parse(user, bytes, Layer::User),
        None if selection.config.is_some() => {
            let source = io::Error::from(io::ErrorKind::NotFound);
            return Err(LoadError::Unreadable { path: user.to_owned(), source });
        }
        None => {}
    }
    for root in &around.project_roots {
        let path = root.as_path().join(PROJECT_CONFIG);
        if path == user
            || !matches!(layers.user.trust_of(root), Some(trust) if trust.value != Trust::Untrusted)
        {
            continue;
        }
        let bytes = read_file(&path, None)?;
        if layers.user.standing(root, bytes.as_deref()) == Standing::Changed {
            return Err(LoadError::Changed { path, root: root.as_path().to_owned() });
        }
        if let Some(bytes) = bytes {
            let document = layers.parse(&path, bytes, Layer::Project);
            layers.project.profiles = merge::profiles([&layers.project, &document]);
            let chosen = document.default_permissions.or(document.legacy.map(|legacy| legacy.profile));
            layers.project.default_permissions = chosen.or(layers.project.default_permissions.take());
        }
    }
    if layers.report.has_errors() {
        return Err(LoadError::Documents(layers.report));
    }
    Ok(layers)
}

impl Layers {
    fn parse(&mut self, path: &Path, bytes: Vec<u8>, layer: Layer) -> Document {
        let source = Source::new(&path.display().to_string(), bytes, format_of(path), layer);
        let reading = source.as_ref().map_or_else(|problem| unreadable(problem), read::read);
        self.sources.extend(source);
        self.report.extend(reading.report);
        reading.document.unwrap_or_default()
    }
}

/// TOML, unless the name says JSON.
#[must_use]
pub fn format_of(path: &Path) -> Format {
    if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json")) {
        Format::Json
    } else {
        Format::Toml
    }
}

/// Reads one document, whatever is wrong with its bytes.
#[must_use]
pub fn parse(name: &str, bytes: Vec<u8>, format: Format, layer: Layer) -> read::Reading {
    Source::new(name, bytes, format, layer)
        .map_or_else(|problem| unreadable(&problem), |source| read::read(&source))
}

/// What is known of a text that is no source at all.
#[must_use]
pub fn unreadable(problem: &Diagnostic) -> read::Reading {
    let report = Report { diagnostics: vec![problem.clone()], omitted: 0 };
    read::Reading { document: None, report }
}

/// The bytes of a regular file, one more than allowed at most; `None` where there is no file.
///
/// With an owner, the file and its directory must belong to root (or that owner), be writable by nobody else and be no links; the
/// checks are made on the open file, so that it cannot be exchanged between check and use.
///
/// # Errors
/// [`LoadError::Unreadable`] for anything but a readable regular file; [`LoadError::Requirements`] for a wrong owner or mode and
/// [`LoadError::Linked`] for a link where there is an owner.
pub fn read_file(path: &Path, owned: Option<(&Path, u32)>) -> Result<Option<Vec<u8>>, LoadError> {
    let fail = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let mut flags = OFlag::O_NONBLOCK;
    if let Some((directory, _)) = owned {
        let is_link = |path: &&Path| path.symlink_metadata().is_ok_and(|found| found.is_symlink());
        if let Some(path) = [directory, path].into_iter().find(is_link) {
            return Err(LoadError::Linked { path: path.to_owned() });
        }
        flags |= OFlag::O_NOFOLLOW;
    }
    // Opening a FIFO or a device by mistake must not hang.
    let mut file = match std::fs::File::options().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(fail(error)),
    };
    let found = file.metadata().map_err(fail)?;
    if !found.is_file() {
        return Err(fail(io::Error::other("not a regular file")));
    }
    if let Some((directory, administrator)) = owned {
        let above = std::fs::metadata(directory).map_err(fail)?;
        for (path, found) in [(directory, &above), (path, &found)] {
            let mode = found.mode() & 0o7777;
            if found.uid() != administrator || mode & 0o022 != 0 {
                return Err(LoadError::Requirements { path: path.to_owned(), uid: found.uid(), mode });
            }
        }
    }
    let mut bytes = Vec::new();
    let limit = MAX_DOCUMENT_BYTES as u64 + 1;
    file.by_ref().take(limit).read_to_end(&mut bytes).map_err(fail)?;
    Ok(Some(bytes))
}
