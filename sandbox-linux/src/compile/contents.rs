//! Files that the sandbox sees in place of the host's, where it is behind the network gate.
//!
//! Each is shown where the policy lets the host's be read, at the end of the links that lead there. Nothing is made on the host, so
//! what a host lacks stays missing.

use std::sync::Arc;

use weir_protocol::AbsPath;
use weir_protocol::policy::{Operation, Request};

use super::tree::{Builder, View, path};
use crate::gate::files::{self, BUNDLES, KEY_STORES, NAME_FILES};
use crate::plan::{MountStep, Writable};
use crate::survey::Kind;

/// Shows the files by which names are found, and those of certificates; where the first of these is.
pub(super) fn show(builder: &mut Builder<'_, '_>) -> Option<AbsPath> {
    if !builder.compiler.policy.network().is_gated() {
        return None;
    }
    for name in NAME_FILES {
        let held = builder.compiler.facts.survey.held.get(&path(name));
        let content = files::content(name, held.map_or(&[], Vec::as_slice));
        cover(builder, name, &content.into());
    }
    let trust = builder.compiler.facts.trust?;
    for name in KEY_STORES {
        cover(builder, name, &trust.key_store);
    }
    let covered = BUNDLES.map(|name| cover(builder, name, &trust.bundle));
    let first = covered.into_iter().flatten().next();
    if first.is_none() {
        let remark = "no file of certificates is there that could show the sandbox's own authority";
        builder.compiler.remarks.push(remark.to_owned());
    }
    first
}

/// Shows one file; where it is. What cannot be read is left so, and what is not there.
fn cover(builder: &mut Builder<'_, '_>, name: &str, bytes: &Arc<[u8]>) -> Option<AbsPath> {
    let survey = builder.compiler.facts.survey;
    let name = path(name);
    let at = survey.leads.get(&name).unwrap_or(&name).clone();
    let request = Request::Path { path: &at, operation: Operation::Read };
    let readable = builder.compiler.policy.verdict(&request).allowed;
    if !readable || builder.kind(&at) != Some(Kind::File) {
        return None;
    }
    // Several names may lead to one file.
    let step = MountStep::Content { at: at.clone(), bytes: Arc::clone(bytes) };
    if builder.steps.contains(&step) {
        return Some(at);
    }
    match builder.view(&at) {
        View::Host(_) | View::Copied(_) => builder.pin(&at),
        View::Empty | View::Private => {
            builder.mount_point(&at);
        }
        View::Proc | View::Hidden => return None,
    }
    builder.steps.push(step);
    builder.views.insert(at.clone(), View::Host(Writable::No));
    Some(at)
}
