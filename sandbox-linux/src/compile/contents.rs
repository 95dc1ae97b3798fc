//! Files that the sandbox sees in place of the host's, where it is behind the network gate.
//!
//! Each is shown where the policy lets the host's be read, at the end of the links that lead there. Nothing is made on the host, so
//! what a host lacks stays missing.

use weir_protocol::AbsPath;
use weir_protocol::policy::{Operation, Request};

use super::tree::{Builder, View, path};
use crate::gate::files::{self, NAME_FILES};
use crate::plan::{MountStep, Writable};
use crate::survey::Kind;

/// Shows the files by which names are found.
pub(super) fn show(builder: &mut Builder<'_, '_>) {
    if !builder.compiler.policy.network().is_gated() {
        return;
    }
    for name in NAME_FILES {
        let held = builder.compiler.facts.survey.held.get(&path(name));
        let bytes = files::content(name, held.map_or(&[], Vec::as_slice));
        cover(builder, &path(name), &bytes);
    }
}

/// Shows one file. What cannot be read is left so, and what is not there.
fn cover(builder: &mut Builder<'_, '_>, name: &AbsPath, bytes: &[u8]) {
    let survey = builder.compiler.facts.survey;
    let at = survey.leads.get(name).unwrap_or(name).clone();
    let request = Request::Path { path: &at, operation: Operation::Read };
    let readable = builder.compiler.policy.verdict(&request).allowed;
    if !readable || builder.kind(&at) != Some(Kind::File) {
        return;
    }
    match builder.view(&at) {
        View::Host(_) => builder.pin(&at),
        View::Empty | View::Private => {
            builder.mount_point(&at);
        }
        View::Proc | View::Hidden => return,
    }
    builder.steps.push(MountStep::Content { at: at.clone(), bytes: bytes.into() });
    builder.views.insert(at, View::Host(Writable::No));
}
