//! Why a program that the host has could not be executed: because no rule lets the command see it, or the interpreter in its first line.
//!
//! Looked up after the failure and as the user whose command it is, so that nothing is told that the user may not see.

use std::fs::File;
use std::io::Read as _;

use weir_protocol::denial::{Act, Mechanism, Observed};
use weir_protocol::{AbsPath, ByteString};
use weir_sandbox_linux::broker::{self, HEAD_BYTES};

use super::program::find;
use super::{Launch, advice};
use crate::profile::standing::Standing;

/// What is to be said of a command that could not be executed, where the policy is the reason, or its interpreter is missing.
pub(super) fn why(launch: &Launch) -> Option<String> {
    let name = launch.argv.first()?;
    let path = launch.env.iter().find(|(name, _)| name.0 == b"PATH").map(|(_, value)| value.0.as_slice());
    let program = find(&name.0, path, &launch.cwd).ok()?;
    refused(launch, &program).map(|why| format!("the host has it, and {why}")).or_else(|| {
        let interpreter = interpreter(&program)?;
        let Ok(_) = interpreter.as_path().metadata() else {
            return Some(format!("its interpreter {interpreter} is not there"));
        };
        refused(launch, &interpreter).map(|why| format!("it needs its interpreter, and {why}"))
    })
}

/// Why a policy does not let a program be executed, and what would.
fn refused(launch: &Launch, program: &AbsPath) -> Option<String> {
    let policy = &launch.policy;
    let program = AbsPath::from_host(&program.as_path().canonicalize().ok()?)?;
    let target = ByteString(program.as_bytes().to_vec());
    let (operation, mechanism) = (Act::Execute, Mechanism::Mounts);
    let observed =
        Observed { operation, target, mechanism, time: String::new(), process: None, reason: None };
    let mut denial = observed.joined(policy)?;
    if advice::is_given(&denial) {
        // What they say by now: nothing is decided here.
        advice::below(
            &Standing::read(),
            &launch.policy,
            &launch.standpoint,
            std::slice::from_mut(&mut denial),
        );
    }
    let by = match &denial.origin {
        Some(origin) => format!("{origin} closes"),
        None => format!("no rule of profile {} opens", policy.profile()),
    };
    let option = denial.option.map(|option| format!("; to allow it: {} {}", option.name, option.value));
    let rest = option.or_else(|| denial.reason.map(|reason| format!("; {reason}")));
    Some(format!("{by} {program}{}", rest.unwrap_or_default()))
}

/// The program that the kernel opens with this one: a script's interpreter, or a loader.
fn interpreter(program: &AbsPath) -> Option<AbsPath> {
    let mut head = Vec::new();
    File::open(program.as_path()).ok()?.take(HEAD_BYTES as u64).read_to_end(&mut head).ok()?;
    broker::interpreter(&head).and_then(|name| AbsPath::parse(name).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_of_a_script_is_read_as_the_kernel_reads_it() {
        let ground = tempfile::tempdir().unwrap();
        let cases = [
            ("#!/bin/sh\n", Some("/bin/sh")),
            ("#! /usr/bin/env python3 -u\nrest", Some("/usr/bin/env")),
            ("#!/bin/sh", Some("/bin/sh")),
            ("#!\n", None),
            ("#!relative\n", None),
            ("/bin/sh\n", None),
            ("", None),
        ];
        for (text, expect) in cases {
            let file = ground.path().join("script");
            std::fs::write(&file, text).unwrap();
            let found = interpreter(&AbsPath::from_host(&file).unwrap());
            assert_eq!(found.map(|path| path.to_string()).as_deref(), expect, "{text:?}");
        }
    }
}
