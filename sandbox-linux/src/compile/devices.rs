//! A minimal `/dev`: an own, sealed directory with the devices that rules name, own terminals and own shared memory.

use weir_protocol::AbsPath;
use weir_protocol::policy::Access;

use super::tree::{Builder, PASSAGE, View, path};
use crate::plan::{Devices, MountStep, Owned, Writable};
use crate::survey::LINKS;

/// Mode of a `/dev` that may be listed; one that may not is a passage.
const LISTED: u32 = 0o755;

/// Makes `/dev`.
pub(super) fn directory(builder: &mut Builder<'_, '_>) {
    let dev = path("/dev");
    if builder.compiler.filesystem.rule_at(&dev).is_some_and(|rule| rule.access > Access::None) {
        // The profile names the host's own devices.
        builder.mount_point(&dev);
        builder.steps.push(MountStep::Bind {
            at: dev.clone(),
            writable: Writable::Yes,
            devices: Devices::Work,
        });
        builder.views.insert(dev, View::Host(Writable::Yes));
        builder.steps.push(MountStep::Terminals);
        return;
    }
    builder.mount_point(&dev);
    let mode = if builder.compiler.access(&dev) > Access::None { LISTED } else { PASSAGE };
    builder.steps.push(MountStep::Tmpfs { at: dev.clone(), mode, owned: Owned::ByMaker });
    builder.seals.push(dev.clone());
    builder.views.insert(dev, View::Empty);
    if builder.compiler.access(&path("/proc")) > Access::None {
        for (at, target) in LINKS {
            builder.link(path(at), target.as_bytes().to_vec());
        }
    }
}

/// One granted device below a `/dev` of the sandbox's own.
pub(super) fn device(builder: &mut Builder<'_, '_>, at: &AbsPath) {
    match at.as_bytes() {
        b"/dev/pts" => {
            builder.mount_point(at);
            builder.steps.push(MountStep::Terminals);
            builder.views.insert(at.clone(), View::Hidden);
        }
        b"/dev/ptmx" => builder.link(at.clone(), b"pts/ptmx".to_vec()),
        _ => {
            if builder.mount_point(at) {
                let writable = Writable::Yes;
                builder.steps.push(MountStep::Bind { at: at.clone(), writable, devices: Devices::Work });
                builder.views.insert(at.clone(), View::Host(writable));
            }
        }
    }
}
