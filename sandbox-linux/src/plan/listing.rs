//! A plan as text: one line a step.

use std::fmt::Write as _;
use weir_protocol::policy::Background;

use super::{Confinement, Devices, Landlock, MountStep, Owned, Plan, Setting, Writable};
use crate::compile::landlock;
use crate::gate::Gate;
use crate::seccomp;

pub(super) fn render(plan: &Plan) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "way          {:?}", plan.way);
    let names: Vec<&str> = plan.namespaces.iter().map(|namespace| namespace.name()).collect();
    let _ =
        writeln!(out, "namespaces   {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") });
    let _ = writeln!(out, "user         {}:{}", plan.credentials.uid, plan.credentials.gid);
    let _ = writeln!(out, "loopback     {:?}", plan.loopback);
    if plan.background == Background::Keep {
        out.push_str("background   kept: the sandbox ends with its last process\n");
    }
    for words in plan.gate.iter().flat_map(Gate::words) {
        let _ = writeln!(out, "gate         {words}");
    }
    for what in &plan.publish {
        let _ = writeln!(out, "published    {what}");
    }
    for limit in &plan.limits {
        let _ = writeln!(out, "limit        {:?} {}", limit.kind, limit.value);
    }
    if let Some(group) = &plan.group {
        let _ = writeln!(out, "group        below {}", group.below);
        for controller in &group.enable {
            let _ = writeln!(out, "  enable     {}", controller.name());
        }
        for Setting { file, text, .. } in group.settings() {
            let _ = writeln!(out, "  {file:<16} {text}");
        }
    }
    for step in &plan.mounts {
        let _ = writeln!(out, "{}", mount(step));
    }
    match &plan.confinement {
        None => out.push_str("confinement  none: the profile confines nothing\n"),
        Some(confinement) => confined(&mut out, confinement),
    }
    for degraded in &plan.degradations {
        let _ = writeln!(out, "given up     {:?}: {}", degraded.name, degraded.lost);
    }
    for remark in &plan.remarks {
        let _ = writeln!(out, "remark       {remark}");
    }
    out
}

fn confined(out: &mut String, confinement: &Confinement) {
    match &confinement.landlock {
        None => out.push_str("landlock     none\n"),
        Some(ruleset) => layer(out, "landlock    ", ruleset),
    }
    if let Some(ruleset) = &confinement.reading {
        layer(out, "reading     ", ruleset);
    }
    if let Some(brokered) = &confinement.brokered {
        for guard in &brokered.guards {
            for name in &guard.names {
                let path = guard.parent.join(name).map(|path| path.to_string()).unwrap_or_default();
                let _ = writeln!(out, "guard        {path}");
            }
        }
        for grant in &brokered.sockets.grants {
            let _ = writeln!(out, "socket       {:?} {}", grant.verdict, grant.path);
        }
        if let Some(recorded) = brokered.recorded {
            let _ = writeln!(out, "recorded     {}", recorded.words());
        }
        let _ = writeln!(out, "broker       {} instructions", brokered.filter.insns().len());
    }
    let _ = writeln!(out, "seccomp      {} instructions", confinement.filter.insns().len());
    let listing = confinement.filter.listing(&|number| seccomp::name(confinement.arch, number));
    listing.lines().for_each(|line| {
        let _ = writeln!(out, "  {line}");
    });
}

fn layer(out: &mut String, name: &str, ruleset: &Landlock) {
    let _ = writeln!(
        out,
        "{name} ABI {}, network {:#x}, scoped {:#x}",
        ruleset.abi, ruleset.handled_net, ruleset.scoped
    );
    for port in &ruleset.ports {
        let _ = writeln!(out, "  port       {port}");
    }
    for rule in &ruleset.rules {
        let _ = writeln!(out, "  rule       {} {}", landlock::words(rule.rights), rule.at);
    }
}

fn mount(step: &MountStep) -> String {
    match step {
        MountStep::Tmpfs { at, mode, owned } => format!("tmpfs        {at} mode {mode:04o}{}", own(*owned)),
        MountStep::Bind { at, writable, devices } => {
            let access = if *writable == Writable::Yes { "write" } else { "read " };
            let devices = if *devices == Devices::Work { ", devices" } else { "" };
            format!("bind {access}   {at}{devices}")
        }
        MountStep::Again { at, writable } => {
            format!("again {}  {at}", if *writable == Writable::Yes { "write" } else { "read " })
        }
        MountStep::Copied { at, state } => format!("copy         {at}, changes in {state}"),
        MountStep::MaskFile { at } => format!("mask file    {at}"),
        MountStep::MaskDirectory { at } => format!("mask dir     {at}"),
        MountStep::Proc { writable } => {
            format!("proc         /proc{}", if *writable == Writable::Yes { "" } else { ", read-only" })
        }
        MountStep::ProcReadOnly { at } => format!("read-only    {at}"),
        MountStep::Terminals => "devpts       /dev/pts".to_owned(),
        MountStep::Directory { at, mode, owned } => {
            format!("directory    {at} mode {mode:04o}{}", own(*owned))
        }
        MountStep::Content { at, bytes } => format!("content      {at}, {} bytes", bytes.len()),
        MountStep::File { at } => format!("file         {at}"),
        MountStep::Link { at, target } => {
            format!("link         {at} -> {}", String::from_utf8_lossy(target))
        }
        MountStep::Seal { at } => format!("seal         {at}"),
    }
}

fn own(owned: Owned) -> &'static str {
    match owned {
        Owned::ByCommand => ", the user's",
        Owned::ByMaker => "",
    }
}
