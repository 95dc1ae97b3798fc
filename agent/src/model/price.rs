//! What tokens cost, where the configuration says so. Weir has no list of its own: prices change, and differ from contract to contract.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::item::Usage;

/// Tokens that a price is for.
const TOKENS: f64 = 1_000_000.0;

/// Prices by the model's name at its provider.
pub type Prices = BTreeMap<String, Price>;

/// What a million tokens of one model cost.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Read, and not found in the cache.
    input: f64,
    /// Found in the cache; as much as others where nothing is said.
    cached_input: Option<f64>,
    /// Written to the cache; as much as others where nothing is said.
    cache_write_input: Option<f64>,
    /// Written, reasoning included.
    output: f64,
    /// Of what.
    currency: String,
}

impl Price {
    /// What so many tokens cost, as text.
    #[must_use]
    pub fn of(&self, usage: Usage) -> String {
        let Usage { input, cached_input, cache_write_input, output, .. } = usage;
        let plain = input.saturating_sub(cached_input).saturating_sub(cache_write_input);
        let parts = [
            (plain, self.input),
            (cached_input, self.cached_input.unwrap_or(self.input)),
            (cache_write_input, self.cache_write_input.unwrap_or(self.input)),
            (output, self.output),
        ];
        let amount: f64 = parts.iter().map(|(tokens, price)| *tokens as f64 * price / TOKENS).sum();
        format!("{amount:.4} {}", self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_token_has_its_price() {
        let usage = Usage {
            input: 1_000,
            cached_input: 400,
            cache_write_input: 100,
            output: 50,
            reasoning_output: 20,
        };
        let cases = [
            ("input = 2.0\noutput = 10.0", "0.0025 EUR"),
            ("input = 2.0\ncached_input = 0.5\noutput = 10.0", "0.0019 EUR"),
            ("input = 2.0\ncached_input = 0.5\ncache_write_input = 4.0\noutput = 10.0", "0.0021 EUR"),
        ];
        for (text, expect) in cases {
            let price: Price = toml::from_str(&format!("{text}\ncurrency = \"EUR\"")).unwrap();
            assert_eq!(price.of(usage), expect, "{text}");
        }
    }
}
