//! The providers that need no table, written as tables: what a person writes replaces it key by key.

use std::collections::BTreeMap;

use toml::Table;

/// Variables in which keys are by custom, whether or not a provider that reads them is configured.
pub(super) const SECRET_VARIABLES: [&str; 9] = [
    "ANTHROPIC_API_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "CODEX_API_KEY",
    "OLLAMA_API_KEY",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
];

const TABLES: &str = r#"
[openai]
name = "OpenAI"
base_url = "https://api.openai.com/v1"
wire_api = "responses"
requires_openai_auth = true

[anthropic]
name = "Anthropic"
base_url = "https://api.anthropic.com/v1"
env_key = "ANTHROPIC_API_KEY"
wire_api = "anthropic"

[amazon-bedrock]
name = "Amazon Bedrock"
wire_api = "bedrock"

[ollama]
name = "Ollama"
base_url = "http://localhost:11434"
wire_api = "ollama"

[lmstudio]
name = "LM Studio"
base_url = "http://localhost:1234/v1"
wire_api = "chat"

[replay]
name = "A recorded session"
wire_api = "replay"
"#;

/// The tables, by id.
pub(super) fn tables() -> BTreeMap<String, Table> {
    let all: Table = TABLES.parse().unwrap_or_default();
    all.into_iter().filter_map(|(id, table)| Some((id, table.as_table()?.clone()))).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_tables_are_there() {
        assert_eq!(super::tables().len(), 6);
    }
}
