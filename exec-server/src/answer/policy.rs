//! The methods about profiles and policies.

use std::os::unix::ffi::OsStrExt;

use weir_protocol::AbsPath;
use weir_protocol::method::policy::{
    Check, Checked, Choice, Diff, Differences, Explain, Explained, Question, Shown, Standpoint,
};
use weir_protocol::method::{Error, code};
use weir_protocol::policy::{Host, Layer, Request};
use weir_protocol::profile::{Document, Severity, Source, read};

use crate::profile::ceiling::Caller;
use crate::profile::resolve::{Resolved, resolve, without_effect};
use crate::profile::surroundings::{self, Surroundings, Walker, other_homes};
use crate::profile::{LoadError, Loaded, Selection, builtin, load, merge};

/// Port assumed where a question names none.
const DEFAULT_PORT: u16 = 443;

/// Most files checked by one request.
const MAX_FILES: usize = 1000;

pub(crate) fn around(standpoint: &Standpoint) -> Surroundings {
    let Standpoint { cwd, project_roots, home, weir_home, tmpdir } = standpoint.clone();
    let project_roots = if project_roots.is_empty() { vec![cwd.clone()] } else { project_roots };
    let other_homes = other_homes(&home);
    Surroundings { home, cwd, project_roots, tmpdir, weir_home, other_homes }
}

pub(crate) fn policy_of(choice: &Choice) -> Result<Loaded, Error> {
    let selection = Selection {
        config: choice.config.as_ref().map(|path| {
            let full = choice.standpoint.cwd.as_path().join(path);
            AbsPath::from_host(&full).map_or(full, |path| path.as_path().to_owned())
        }),
        profile: choice.profile.clone(),
        read: choice.read.clone(),
        write: choice.write.clone(),
        copy: choice.copy.clone(),
        deny: choice.deny.clone(),
    };
    let caller = || Caller::of_this_process().clone();
    load::load(&selection, &around(&choice.standpoint), caller).map_err(|error| {
        let code = match &error {
            LoadError::Documents(_) | LoadError::CommandLine(_) => code::DOCUMENT,
            LoadError::Unreadable { .. }
            | LoadError::Requirements { .. }
            | LoadError::Linked { .. }
            | LoadError::Changed { .. } => code::FILE,
            LoadError::Merge(_) | LoadError::Resolve(_) => code::PROFILE,
            LoadError::Widened(_) => code::WIDENED,
            LoadError::Refused(_) | LoadError::Administered { .. } => code::CEILING,
        };
        Error { code, message: error.to_string().trim_end().to_owned() }
    })
}

pub(super) fn show(choice: &Choice) -> Result<Shown, Error> {
    let Loaded { policy, report, mut remarks } = policy_of(choice)?;
    remarks.extend(without_effect(&policy));
    Ok(Shown { digest: policy.digest(), policy, report, remarks })
}

pub(super) fn diff(params: &Diff) -> Result<Differences, Error> {
    let (one, other) = (policy_of(&params.one)?.policy, policy_of(&params.other)?.policy);
    Ok(Differences {
        digests: [one.digest(), other.digest()],
        only_one: one.excess_over(&other),
        only_other: other.excess_over(&one),
    })
}

pub(super) fn explain(params: &Explain) -> Result<Explained, Error> {
    let policy = policy_of(&params.choice)?.policy;
    let standpoint = &params.choice.standpoint;
    let mut leads_to = None;
    let explanation = match &params.question {
        Question::Path { path, access } => {
            let (path, link) = final_path(path, standpoint)?;
            leads_to = link;
            policy.explain(&Request::Path { path: &path, operation: *access })
        }
        Question::UnixSocket { path } => {
            let (path, link) = final_path(path, standpoint)?;
            leads_to = link;
            policy.explain(&Request::UnixSocket { path: &path })
        }
        Question::Host { host } => {
            let (host, port) = host_and_port(host)?;
            policy.explain(&Request::Connect { host: &host, port })
        }
        Question::Environment { name } => policy.explain(&Request::Environment { name }),
    };
    Ok(Explained { profile: policy.profile().to_owned(), digest: policy.digest(), leads_to, explanation })
}

fn question(message: String) -> Error {
    Error { code: code::QUESTION, message }
}

/// The path as the kernel sees it, and the same once more where symbolic links changed it.
fn final_path(text: &str, standpoint: &Standpoint) -> Result<(AbsPath, Option<AbsPath>), Error> {
    let full = match text.strip_prefix("~/") {
        Some(rest) => standpoint.home.as_path().join(rest),
        None if text == "~" => standpoint.home.as_path().to_owned(),
        None => standpoint.cwd.as_path().join(text),
    };
    let no_path = || question(format!("`{text}` is not a path"));
    let named = AbsPath::from_host(&full).ok_or_else(no_path)?;
    // `..` behind a symbolic link is above where that leads.
    let full = full.as_os_str().as_bytes();
    let followed = Walker::new(&surroundings::Host::default()).follow_from(&AbsPath::root(), full);
    let real = followed.ok_or_else(no_path)?.real;
    let link = (real != named).then(|| real.clone());
    Ok((real, link))
}

fn host_and_port(text: &str) -> Result<(Host, u16), Error> {
    let wrong = |error: &dyn std::fmt::Display| question(format!("`{text}`: {error}"));
    if let Ok(host) = Host::parse(text) {
        return Ok((host, DEFAULT_PORT));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let host = Host::parse(host).map_err(|error| wrong(&error))?;
    match port.parse() {
        Ok(port) if port > 0 => Ok((host, port)),
        _ => Err(wrong(&"a port is a number from 1 to 65535")),
    }
}

pub(super) fn check(params: &Check) -> Result<Vec<Checked>, Error> {
    if params.files.len() > MAX_FILES {
        return Err(question(format!("more than {MAX_FILES} files in one request")));
    }
    let layer = if params.requirements { Layer::Requirements } else { Layer::User };
    let around = around(&params.standpoint);
    params.files.iter().map(|file| check_file(file, layer, &around)).collect()
}

fn check_file(file: &str, layer: Layer, around: &Surroundings) -> Result<Checked, Error> {
    let path = around.cwd.as_path().join(file);
    let fail = |message| Error { code: code::FILE, message };
    let bytes = load::read_file(&path, None).map_err(|error| fail(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| fail(format!("cannot read {file}: there is no such file")))?;
    let source = Source::new(file, bytes, load::format_of(&path), layer);
    let reading = source.as_ref().map_or_else(|problem| load::unreadable(problem), read::read);
    let mut out = Checked {
        file: file.to_owned(),
        ok: false,
        profiles: Vec::new(),
        report: reading.report,
        remarks: Vec::new(),
    };
    if let (Some(document), Ok(source)) = (reading.document, &source) {
        out.profiles = document.profiles.keys().cloned().collect();
        check_meaning(source, &document, around, &mut out);
        out.report.sort();
    }
    out.ok = !out.report.has_errors();
    Ok(out)
}

/// What only shows when profiles are put together and resolved: missing parents, circles, paths too long.
fn check_meaning(source: &Source, document: &Document, around: &Surroundings, out: &mut Checked) {
    let profiles = merge::profiles([builtin::document(), document]);
    let default = document.default_permissions.iter().map(|name| (name.value.as_str(), Some(&name.origin)));
    let mut seen = Vec::new();
    for (name, by) in document.profiles.keys().map(|name| (name.as_str(), None)).chain(default) {
        let problem = match merge::extended(&profiles, name, by) {
            Err(error) => Some((error.place().cloned(), error.to_string())),
            Ok(profile) => match resolve(name, &profile, around, &surroundings::Host::default()) {
                Err(error) => Some((None, error.to_string())),
                Ok(Resolved { policy, remarks }) => {
                    out.remarks.extend(remarks.into_iter().chain(without_effect(&policy)));
                    None
                }
            },
        };
        let Some((place, reason)) = problem.filter(|problem| !seen.contains(&problem.0)) else { continue };
        let fallback = weir_protocol::policy::Place { file: out.file.clone(), line: 1, column: 1 };
        let diagnostic = source.diagnostic_at(Severity::Error, place.as_ref().unwrap_or(&fallback), reason);
        out.report.push(diagnostic);
        seen.push(place);
    }
    out.remarks.sort();
    out.remarks.dedup();
}
