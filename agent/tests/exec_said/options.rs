//! Options: each holds, or is refused before anything is asked.

use super::Session;

const TOUCHES: &str = "touch mark";
const FORBIDS: &str = "approvals.rules=[{command=[\"touch\"],decision=\"forbid\"}]";

#[test]
fn what_the_file_can_say_an_option_says_as_well() {
    let Some(session) = Session::new("options", TOUCHES, "model = \"m\"\nsandbox_mode = \"workspace-write\"")
    else {
        return;
    };
    let cases: [(&[&str], bool); 7] = [
        (&["hi"], true),
        (&["-c", "sandbox_mode=read-only", "hi"], false),
        (&["-c", " default_permissions = :read-only", "hi"], false),
        (&["-c", "\"default_permissions\"=\":read-only\"", "hi"], false),
        (&["-s", "workspace-write", "-c", "sandbox_workspace_write.network_access=false", "hi"], true),
        (&["-c", FORBIDS, "hi"], false),
        (
            &[
                "-c",
                "approval_policy={granular={rules=false,sandbox_approval=false,mcp_elicitations=false}}",
                "-c",
                "approvals.rules=[{command=[\"touch\"],decision=\"ask\"}]",
                "hi",
            ],
            false,
        ),
    ];
    for (arguments, expect) in cases {
        let (code, told) = session.told(arguments);
        assert_eq!((code, session.took("mark")), (Some(0), expect), "{arguments:?}: {told}");
    }
}

#[test]
fn what_cannot_hold_is_refused() {
    let Some(session) = Session::new("refused", TOUCHES, "model = \"m\"") else { return };
    let cases: [(&[&str], &str); 9] = [
        (
            &["-c", "sandbox_mode=bogus", "hi"],
            "`sandbox_mode` must be read-only, workspace-write or danger-full-access",
        ),
        (&["-c", "sandbox_workspace_write.network_access=true", "hi"], "network_access` cannot be said"),
        (&["-c", "projects.x.trust_level=trusted", "hi"], "`--config projects` cannot be said"),
        (&["-c", "aproval_policy=untrusted", "hi"], "did you mean `approval_policy`?"),
        (&["-c", "approval_policy={granular={bogus=1}}", "hi"], "unknown field `bogus`"),
        (&["a prompt", "resume", "--last"], "the prompt stands behind `resume`"),
        (&["resume", "--last", "nobody", "do it"], "--last names the thread, and so does \"nobody\""),
        (&["-o", "missing/last.txt", "hi"], "--output-last-message: missing/last.txt"),
        (&["-o", "last.txt", "-c", "model_reasoning_effort=hard", "hi"], "`model_reasoning_effort` must be"),
    ];
    for (arguments, expect) in cases {
        let (code, told) = session.told(arguments);
        assert_eq!((code, session.took("mark")), (Some(2), false), "{arguments:?}: {told}");
        assert!(told.contains(expect), "{arguments:?}: {told}");
    }
    assert!(!session.took("last.txt") && session.script.asked().is_empty());
}

#[test]
fn a_thread_keeps_its_model() {
    let Some(session) = Session::new("model", TOUCHES, "model = \"usual\"") else { return };
    let runs: [&[&str]; 4] = [
        &["-m", "own", "hi"],
        &["resume", "--last", "hi"],
        &["fork", "--last", "hi"],
        &["resume", "--last", "-m", "other", "hi"],
    ];
    for arguments in runs {
        let (code, told) = session.told(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {told}");
    }
    let models: Vec<_> = session.script.asked().iter().map(|asked| asked.json()["model"].clone()).collect();
    assert_eq!(models, ["own", "own", "own", "own", "own", "own", "other", "other"]);
}
