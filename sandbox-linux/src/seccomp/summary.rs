//! What a filter refuses, for people: one line per call that is not simply allowed, with the reason of its class.

use std::fmt::Write as _;

use super::{CALLS, Class, FOREIGN, Needs, UNKNOWN, Verdict, X32};
use crate::bpf::{Action, Arch, SeccompData};

/// Lines of `call, answer, reason` in the order of classes; what the arguments decide is listed case by case.
#[must_use]
pub fn summary(needs: &Needs, arch: Arch) -> String {
    let mut text = String::new();
    let mut line = |name: &str, answer: &str, reason: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<20} {answer:<16} {reason}");
    };
    line("(other ABI)", &FOREIGN.to_string(), "a program for another architecture");
    if arch == Arch::X86_64 {
        line("(x32)", &X32.to_string(), "as on a kernel without x32");
    }
    line("(unknown number)", &UNKNOWN.to_string(), "as on a kernel without the call");
    for call in CALLS {
        if call.number(arch).is_none() || call.class == Class::Ordinary {
            continue;
        }
        match call.class.verdict(needs) {
            Verdict::Always(Action::Allow) => line(call.name, "allow", "allowed by these needs"),
            Verdict::Always(action) => line(call.name, &action.to_string(), call.class.reason()),
            Verdict::ByArguments(rule) => {
                line(call.name, "by arguments", call.class.reason());
                for case in &rule.cases {
                    let when: Vec<String> =
                        case.when.iter().map(|c| condition(c.offset, c.mask, c.value)).collect();
                    line("", &format!("  {}", case.then), &format!("if {}", when.join(", ")));
                }
                line("", &format!("  {}", rule.otherwise), "otherwise");
            }
        }
    }
    text
}

fn condition(offset: u32, mask: u32, value: u32) -> String {
    let index = offset.saturating_sub(SeccompData::arg(0, crate::bpf::Half::Low)) / 8;
    let half = if offset.is_multiple_of(8) { "" } else { ".high" };
    if mask == u32::MAX {
        format!("arg{index}{half} == {value:#x}")
    } else {
        format!("arg{index}{half} & {mask:#x} == {value:#x}")
    }
}
