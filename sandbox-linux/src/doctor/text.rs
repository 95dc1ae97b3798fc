//! The findings as `weir doctor` prints them.

use std::fmt::Write as _;

use super::{Finding, confines, findings};
use crate::host::{Host, Way};

/// Width of a feature's name: the longest, and one space.
const NAME_WIDTH: usize = 40;

/// One line on the machine, then one line per feature that holds, and up to four per feature that does not.
#[must_use]
pub fn render(host: &Host) -> String {
    let mut text = heading(host);
    for finding in findings(host) {
        text.push_str(&entry(&finding));
    }
    if confines(host) && host.way() != Way::Bare {
        text.push_str(UNTOLD);
    }
    text
}

/// What no source tells where there are mounts.
const UNTOLD: &str = "
Of what is denied here, the kernel makes no record of reading what is closed or not granted, and of changing or removing
what is read-only: mounts refuse it. Names that are made, sockets, hosts and limits are told in any case.
";

fn heading(host: &Host) -> String {
    let arch = host.arch.map_or_else(|| "unknown processor".to_owned(), |arch| arch.to_string());
    let way = match (host.way(), confines(host)) {
        (_, false) => "commands cannot be confined here",
        (Way::Direct, true) => "sandboxes are made as root, without a user namespace",
        (Way::UserNamespace, true) => "sandboxes are made in user namespaces",
        (Way::Bare, true) => "sandboxes are made of Landlock and seccomp alone",
    };
    let landlock = match host.landlock.abi {
        0 => "no Landlock".to_owned(),
        abi => format!("Landlock ABI {abi}"),
    };
    let release = &host.kernel.release;
    format!("Linux {release} on {arch}, {landlock}, uid {}: {way}\n\n", host.identity.uid)
}

fn entry(finding: &Finding) -> String {
    let mut text = String::new();
    let name = finding.feature.name();
    // Writing to a String cannot fail.
    let _ = match &finding.missing {
        None => writeln!(text, "  yes  {name}"),
        Some(cause) => writeln!(text, "  NO   {name:<NAME_WIDTH$}{cause}"),
    };
    if finding.missing.is_some() {
        let _ = writeln!(text, "         lost: {}", finding.feature.lost());
    }
    for (at, remedy) in finding.remedies.iter().enumerate() {
        let lead = if at == 0 { "get it:" } else { "or:" };
        let _ = writeln!(text, "{lead:>14} {remedy}");
    }
    text
}
