//! The JSON Schema of both documents, and that it and the reader know the same keys.

use std::collections::BTreeSet;

use serde_json::Value;
use weir_protocol::profile::schema::{Config, Requirements, document_schema};

use crate::{golden, sample};

#[test]
fn the_schema_is_the_golden() {
    for (name, schema) in [
        ("schema.json", document_schema::<Config>()),
        ("requirements-schema.json", document_schema::<Requirements>()),
    ] {
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if let Err(difference) = golden::compare(name, &text) {
            panic!("{difference}");
        }
    }
}

/// Every key of every table in the schema stands in some valid sample, so the reader accepts it; that the reader accepts no
/// other is shown by the invalid samples.
#[test]
fn every_key_of_the_schema_is_accepted_in_a_sample() {
    let mut accepted = BTreeSet::new();
    for sample in sample::group("valid") {
        let schema = if sample.name.starts_with("requirements-") {
            document_schema::<Requirements>()
        } else {
            document_schema::<Config>()
        };
        let Some(tree) = sample.tree() else { panic!("{} is no tree", sample.name) };
        collect(&schema, &schema, "", &tree, &mut accepted);
    }
    let mut expected = BTreeSet::new();
    for schema in [document_schema::<Config>(), document_schema::<Requirements>()] {
        let root = schema.get("title").and_then(Value::as_str).unwrap_or_default().to_owned();
        let tables = schema.get("$defs").and_then(Value::as_object).into_iter().flatten();
        for (name, table) in
            tables.map(|(name, table)| (name.as_str(), table)).chain([(root.as_str(), &schema)])
        {
            expected.extend(properties(table).map(|(key, _)| format!("{name}.{key}")));
            expected.extend(words(table).map(|word| format!("{name}={word}")));
        }
    }
    let missing: Vec<_> = expected.difference(&accepted).collect();
    assert!(!expected.is_empty() && missing.is_empty(), "in no valid sample: {missing:?}");
}

fn properties(table: &Value) -> impl Iterator<Item = (&String, &Value)> {
    table.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// The words of an enumeration.
fn words(schema: &Value) -> impl Iterator<Item = &str> {
    let each = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let single = each.filter_map(|word| word.get("const")?.as_str());
    let list = schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    single.chain(list)
}

/// Walks a document beside its schema and notes which keys of which table, and which words, stand in it.
fn collect(root: &Value, schema: &Value, name: &str, tree: &Value, out: &mut BTreeSet<String>) {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return collect(root, &root["$defs"][name], name, tree, out);
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        for schema in schema.get(choice).and_then(Value::as_array).into_iter().flatten() {
            collect(root, schema, name, tree, out);
        }
    }
    match tree {
        Value::Object(entries) => {
            let name = if name.is_empty() {
                schema.get("title").and_then(Value::as_str).unwrap_or_default()
            } else {
                name
            };
            for (key, value) in entries {
                if let Some((_, schema)) = properties(schema).find(|(known, _)| *known == key) {
                    out.insert(format!("{name}.{key}"));
                    collect(root, schema, "", value, out);
                } else if let Some(schema) =
                    schema.get("additionalProperties").filter(|schema| schema.is_object())
                {
                    collect(root, schema, "", value, out);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                if let Some(schema) = schema.get("items") {
                    collect(root, schema, "", item, out);
                }
            }
        }
        Value::String(word) if words(schema).next().is_some() => {
            assert!(
                words(schema).any(|known| known == word),
                "the reader accepts `{word}`, the schema of {name} does not"
            );
            out.insert(format!("{name}={word}"));
        }
        _ => {}
    }
}
