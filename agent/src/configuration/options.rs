//! `--config KEY=VALUE`: what the command line says of the configuration, and what it cannot say.

use toml::{Table, Value};
use weir_protocol::profile::diagnostic::nearest;
use weir_protocol::profile::schema::{Config, Table as _, WorkspaceWrite};

use super::ConfigurationError;

/// Tables and keys that only files can say.
const FILES_ALONE: [&str; 3] = ["permissions", "requirements", "projects"];

/// Keys that are read here; profiles have theirs.
const KEYS: [&str; 12] = [
    "approval_policy",
    "approvals",
    "left_commands",
    "model",
    "model_auto_compact_token_limit",
    "model_context_window",
    "model_prices",
    "model_provider",
    "model_providers",
    "model_reasoning_effort",
    "openai_base_url",
    "requirements",
];

/// All that options say; the later one stands in place of the earlier, key by key.
pub(super) fn read(options: &[String]) -> Result<Table, ConfigurationError> {
    let mut said = Table::new();
    for text in options {
        put(&mut said, read_override(text)?);
    }
    check_keys(&said)?;
    Ok(said)
}

/// Keys of options: none that only files can say, and none that is mistyped. Tables that are not Weir's are ignored, as in the file.
fn check_keys(said: &Table) -> Result<(), ConfigurationError> {
    for key in said.keys() {
        if FILES_ALONE.contains(&key.as_str()) {
            return Err(ConfigurationError::FilesAlone { key: key.clone() });
        }
        let known = || KEYS.iter().chain(Config::KEYS).copied();
        // Others' words begin as ours do: `model_verbosity`, `approvals_reviewer`.
        let longer = |near: &str| key.strip_prefix(near).is_some_and(|rest| rest.starts_with('_'));
        let near = nearest(key, known().filter(|near| !longer(near)));
        if let Some(near) = near.filter(|near| *near != key) {
            return Err(ConfigurationError::Unknown { key: key.clone(), near });
        }
    }
    Ok(())
}

/// Only what a built-in profile gives anyway can be said of it: nothing.
pub(super) fn check_workspace_write(
    details: Option<&Value>,
    is_plain: bool,
) -> Result<(), ConfigurationError> {
    let expected = "a table";
    let wrong = ConfigurationError::Kind { key: "sandbox_workspace_write", expected };
    let Some(details) = details else { return Ok(()) };
    for (key, value) in details.as_table().ok_or(wrong)? {
        let is_known = WorkspaceWrite::KEYS.contains(&key.as_str());
        if !(is_plain && is_known && value.as_bool() == Some(false)) {
            return Err(ConfigurationError::WorkspaceWrite { key: key.clone() });
        }
    }
    Ok(())
}

/// `KEY=VALUE` as a table. A value that is no TOML is text.
fn read_override(text: &str) -> Result<Table, ConfigurationError> {
    let (key, value) = text.split_once('=').ok_or(ConfigurationError::NoValue)?;
    let wrong = || ConfigurationError::Override { key: key.to_owned() };
    if key.contains(['\n', '\r']) {
        return Err(wrong());
    }
    let one = |value: &str| format!("{key} = {value}").parse::<Table>().ok().filter(|table| table.len() == 1);
    if let Some(table) = one(value) {
        return Ok(table);
    }
    let mut table = one("\"\"").ok_or_else(wrong)?;
    fill(&mut table, value.trim());
    Ok(table)
}

/// Puts text where a table of one dotted key has its value.
fn fill(table: &mut Table, text: &str) {
    for (_, value) in table.iter_mut() {
        match value {
            Value::Table(inner) => fill(inner, text),
            value => *value = Value::String(text.to_owned()),
        }
    }
}

/// Puts one table in the place of another, key by key.
pub(super) fn put(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => put(inner, over),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<Table, ConfigurationError> {
        read(&[text.to_owned()])
    }

    #[test]
    fn values_are_toml_or_text() {
        let cases = [
            ("a=1", Value::Integer(1)),
            ("a=true", Value::Boolean(true)),
            ("a=\"x\"", Value::String("x".to_owned())),
            ("a=x y", Value::String("x y".to_owned())),
            (" a = x y", Value::String("x y".to_owned())),
            ("a=http://h/v1?b=c", Value::String("http://h/v1?b=c".to_owned())),
            ("a=", Value::String(String::new())),
        ];
        for (text, expect) in cases {
            assert_eq!(read_override(text).unwrap()["a"], expect, "{text}");
        }
        for text in ["a", "=1", "a b=1", "a\nb=1"] {
            assert!(read_override(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_fault_repeats_no_value() {
        let key = "sk-KEY-0123456789";
        for text in ["model_providers.my x.experimental_bearer_token=", "a\nb=", "=", "a b = x=", "a.b:"] {
            let told = with(&format!("{text}{key}")).unwrap_err().to_string();
            assert!(!told.contains(key) && told.contains("KEY=VALUE"), "{text}: {told}");
        }
    }

    #[test]
    fn what_is_allowed_is_no_option() {
        for text in
            ["permissions.x.filesystem.\"/\"=write", "requirements.a=1", "projects.\"/\".trust_level=trusted"]
        {
            assert!(matches!(with(text), Err(ConfigurationError::FilesAlone { .. })), "{text}");
        }
    }

    #[test]
    fn mistyped_keys_are_errors_and_others_keys_are_not() {
        for (text, near) in [
            ("aproval_policy=never", "approval_policy"),
            ("approval_policyy=never", "approval_policy"),
            ("approval.rules=[]", "approvals"),
            ("modle=x", "model"),
            ("sandbox_mod=read-only", "sandbox_mode"),
            ("default_permission=team", "default_permissions"),
        ] {
            let error = with(text).unwrap_err();
            assert!(
                matches!(error, ConfigurationError::Unknown { near: found, .. } if found == near),
                "{text}: {error}"
            );
        }
        for text in [
            "web_search=live",
            "features.x=true",
            "model_verbosity=low",
            "model_reasoning_summary=auto",
            "approvals_reviewer=user",
            "profile=x",
            "profiles.x.model=m",
            "mcp_servers.x.command=true",
            "tools.web_search=true",
            "shell_environment_policy.inherit=core",
            "hide_agent_reasoning=true",
            "notify=[]",
            "project_doc_max_bytes=0",
        ] {
            assert!(with(text).is_ok(), "{text}");
        }
    }
}
