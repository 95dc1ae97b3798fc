//! Which lines of a document no message may repeat: those in which a key of a provider or a password may stand.
//!
//! Judged by what is written around it, for a document with a fault in its notation has no tree.

/// Words in the names of keys whose values are nobody's to see.
const SECRET: [&str; 7] =
    ["token", "secret", "password", "passwd", "authorization", "credential", "model_providers"];

/// The table that has keys of providers, addresses with passwords and headers.
const PROVIDERS: &str = "model_providers";

/// Whether the line that begins at `start` is not to be repeated.
pub(super) fn is_withheld(text: &str, start: usize) -> bool {
    let line = text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
    let before = text.get(..start).unwrap_or_default().lines().rev();
    // A text over several lines belongs to the key above it.
    let own = [line].into_iter().chain(before.clone()).find(|line| line.contains('='));
    own.is_some_and(|line| keys(line).any(is_secret)) || is_of_providers([line].into_iter().chain(before))
}

/// What stands before each `=` of a line.
fn keys(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices('=').map(|(at, _)| {
        let before = line[..at].trim_end().trim_end_matches(['"', '\'']);
        let from = before.rfind(['{', ',', '"', '\'', ' ', '\t']).map_or(0, |at| at + 1);
        before.get(from..).unwrap_or_default()
    })
}

fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    // A path is no name.
    !key.contains(['/', '~', '*']) && (key.ends_with("key") || SECRET.iter().any(|word| key.contains(word)))
}

/// Whether the nearest header above, or the line itself, is one of providers.
fn is_of_providers<'a>(mut upwards: impl Iterator<Item = &'a str>) -> bool {
    let header = upwards.find(|line| line.trim_start().starts_with('[') && !line.contains('='));
    header.is_some_and(|header| header.contains(PROVIDERS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_keys_of_providers_are_withheld() {
        let cases = [
            ("[model_providers.x]\nname = \"n\nbase_url = \"https://u:p@h", "base_url"),
            ("[ \"model_providers\".x]\nhttp_headers = { a = \"b", "http"),
            ("experimental_bearer_token = \"sk-1", "exp"),
            ("\"API_KEY\" = sk-1", "\"API"),
            ("set = { A = \"b\", GITHUB_TOKEN = \"g", "set"),
            ("token = \"\"\"\nsk-1", "sk-1"),
            ("model_providers.x = { name = \"", "model"),
            ("[model_providers.x", "[model"),
        ];
        for (text, line) in cases {
            assert!(is_withheld(text, text.rfind(line).unwrap()), "{text}");
        }
        let cases = [
            ("[permissions.x.filesystem]\n\"~/secrets\" = \"none", "\"~"),
            ("[model_providers.x]\nname = \"n\"\n[permissions.x]\nextends = \"a", "extends"),
            ("model = \"gpt", "model"),
            ("", ""),
        ];
        for (text, line) in cases {
            assert!(!is_withheld(text, text.rfind(line).unwrap()), "{text}");
        }
    }
}
