//! What must hold of any text that may be a Seatbelt profile, and of any policy that becomes one. Called by the fuzz target
//! and, over the corpus, by `tests/tests/corpus.rs`.

use std::collections::BTreeMap;

use weir_protocol::Policy;
use weir_protocol::policy::Operation;
use weir_sandbox_macos::compile::{Gate, Host, LetterCase, Run, RunTag, compile};
use weir_sandbox_macos::evaluate::{Precedence, Program, Subject, parse};
use weir_sandbox_macos::sexpr::Sexpr;

/// What is asked of every profile that loads.
const OPERATIONS: [&str; 4] = ["file-read-data", "file-write-unlink", "process-exec", "network-outbound"];

/// A text that reads is printed and reads back as the same values; a profile that loads answers; a policy compiles into a
/// text that reads back as the profile it was printed from. Nothing panics, and every refusal can be told.
pub(crate) fn run(data: &[u8]) {
    match parse::read(data) {
        Ok(forms) => printed(&forms),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let parameters = BTreeMap::from([("PATH_0".to_owned(), b"/p".to_vec())]);
    match Program::load(data, &parameters) {
        Ok(program) => asked(&program),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(policy) = serde_json::from_slice::<Policy>(data) {
        compiled(&policy);
    }
}

fn printed(forms: &[Sexpr]) {
    let text: String = forms.iter().map(|form| format!("{form}\n")).collect();
    assert_eq!(parse::read(text.as_bytes()).as_deref(), Ok(forms), "{text}");
}

fn asked(program: &Program) {
    for path in ["/", "/p", "/p/a.env", "/private/etc/hosts"] {
        for operation in OPERATIONS {
            let subject = Subject { path: Some(path.as_bytes()), ..Subject::default() };
            let _ = program.allows(operation, &subject, Precedence::SpecificFirst);
            let _ = program.allows(operation, &subject, Precedence::LastOnly);
        }
    }
}

fn compiled(policy: &Policy) {
    let Ok(tag) = RunTag::parse("fuzz") else { return };
    let run = Run { tag, gate: Some(Gate { http: 3128, socks: 1080 }), scratch: None, terminal: None };
    for letter_case in [LetterCase::Distinct, LetterCase::Ignored] {
        let compiled = match compile(policy, Host { letter_case }, &run) {
            Ok(compiled) => compiled,
            Err(error) => return assert!(!error.to_string().is_empty()),
        };
        let text = compiled.profile.to_string();
        assert_eq!(parse::read(text.as_bytes()).as_deref(), Ok(compiled.profile.to_sexprs().as_slice()));
        let values = compiled.parameters.iter();
        let values = values.map(|value| (value.name.to_string(), value.value.clone().into_bytes())).collect();
        let program = Program::load(text.as_bytes(), &values);
        assert!(program.is_ok(), "{:?}\n{text}", program.err());
        if let Ok(program) = program {
            denied(policy, &program);
        }
    }
}

/// Where a rule of the policy denies, the profile denies.
fn denied(policy: &Policy, program: &Program) {
    use weir_protocol::policy::{Access, Request, RuleRef};
    for rule in
        policy.filesystem().rules().iter().filter(|rule| rule.access == Access::None && !rule.path.is_root())
    {
        let request = Request::Path { path: &rule.path, operation: Operation::Read };
        let verdict = policy.verdict(&request);
        if verdict.allowed || !matches!(verdict.rule, RuleRef::Path(_)) {
            continue;
        }
        let subject = Subject { path: Some(rule.path.as_bytes()), ..Subject::default() };
        let loads = program.allows("file-read-data", &subject, Precedence::SpecificFirst);
        assert!(!loads || rule.path.as_bytes() == b"/dev/ptmx", "{} can be read", rule.path);
    }
}
