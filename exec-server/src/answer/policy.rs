//! The methods about profiles and policies.

use weir_protocol::AbsPath;
use weir_protocol::method::policy::{Check, Checked, Choice, Diff, Differences, Shown, Standpoint};
use weir_protocol::method::{Error, code};
use weir_protocol::policy::Layer;
use weir_protocol::profile::{Document, Severity, Source, read};

use crate::profile::ceiling::Caller;
use crate::profile::resolve::{Resolved, resolve, without_effect};
use crate::profile::surroundings::{self, Surroundings, other_homes};
use crate::profile::{LoadError, Loaded, Selection, builtin, load, merge};

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

fn question(message: String) -> Error {
    Error { code: code::QUESTION, message }
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
