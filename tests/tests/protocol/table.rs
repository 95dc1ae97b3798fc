//! Tables of what the sources define, as Markdown.

use std::collections::BTreeMap;

use weir_protocol::method::error::KINDS;

use super::source::{self, Item, Method};

/// Each table under the name of its markers.
pub(crate) fn all() -> [(&'static str, String); 5] {
    let types = source::types();
    [
        ("methods", methods(&types)),
        ("notifications", notifications(&types)),
        ("types", described(&types)),
        ("errors", errors()),
        ("limits", limits()),
    ]
}

fn row(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn head(names: &[&str]) -> String {
    row(names) + &row(&vec!["---"; names.len()])
}

fn linked(name: &str, types: &BTreeMap<String, Item>) -> String {
    if types.contains_key(name) { format!("[{name}](#{})", name.to_lowercase()) } else { name.to_owned() }
}

/// The last word of a shape may be a type of ours.
fn shape(of: &str, types: &BTreeMap<String, Item>) -> String {
    let (before, last) = of.rsplit_once(' ').map_or(("", of), |(before, last)| (before, last));
    let (name, mark) = last.strip_suffix('?').map_or((last, ""), |name| (name, " or nothing"));
    let space = if before.is_empty() { "" } else { " " };
    format!("{before}{space}{}{mark}", linked(name, types))
}

/// Methods whose result a type says to be: the names behind `result of`.
fn results(doc: &str) -> Vec<String> {
    let Some((_, mut rest)) = doc.split_once("esult of ") else { return Vec::new() };
    let mut names = Vec::new();
    while let Some((name, after)) = rest.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
        names.push(name.to_owned());
        let next = [", and ", ", ", " and "].iter().find_map(|word| after.strip_prefix(word));
        rest = next.unwrap_or_default();
    }
    names
}

fn methods(types: &BTreeMap<String, Item>) -> String {
    let mut out = head(&["method", "does", "parameters", "result"]);
    let answers: BTreeMap<String, &Item> = types
        .values()
        .flat_map(|item| results(&item.doc).into_iter().map(move |name| (name, item)))
        .collect();
    for Method { name, doc, params } in source::methods() {
        let params = params.map_or_else(|| "none".to_owned(), |params| shape(&params, types));
        let result = answers.get(&name).map_or_else(
            || "`{}`".to_owned(),
            |item| {
                let many = if item.doc.contains("one for each") { "list of " } else { "" };
                format!("{many}{}", linked(&item.name, types))
            },
        );
        out.push_str(&row(&[&format!("`{name}`"), &doc, &params, &result]));
    }
    for name in answers.keys() {
        assert!(source::methods().iter().any(|method| method.name == *name), "{name} is no method");
    }
    out
}

fn notifications(types: &BTreeMap<String, Item>) -> String {
    let mut out = head(&["notification", "says", "parameters"]);
    for Method { name, doc, params } in source::notifications() {
        let params = params.map_or_else(|| "`id`, `signal`".to_owned(), |params| linked(&params, types));
        out.push_str(&row(&[&format!("`{name}`"), &doc, &params]));
    }
    out
}

fn described(types: &BTreeMap<String, Item>) -> String {
    let mut out = String::new();
    for item in types.values() {
        out.push_str(&format!("\n### {}\n\n{}\n\n", item.name, item.doc));
        if item.is_choice {
            let tag = item.tag.as_ref().map_or_else(|| "value".to_owned(), |tag| format!("`{tag}`"));
            out.push_str(&head(&[&tag, "means", "carries"]));
            for field in &item.fields {
                let name = format!("`\"{}\"`", field.name);
                out.push_str(&row(&[&name, &field.doc, &field.shape]));
            }
            continue;
        }
        out.push_str(&head(&["field", "is", "", "means"]));
        for field in &item.fields {
            let needed = if field.is_needed { "" } else { "optional" };
            out.push_str(&row(&[
                &format!("`{}`", field.name),
                &shape(&field.shape, types),
                needed,
                &field.doc,
            ]));
        }
    }
    out
}

fn errors() -> String {
    let mut out = head(&["code", "name", "means", "what to do"]);
    for kind in KINDS {
        out.push_str(&row(&[
            &kind.code.to_string(),
            &format!("`{}`", kind.name),
            kind.meaning.trim(),
            kind.hint,
        ]));
    }
    out
}

fn limits() -> String {
    let mut out = head(&["limit", "value", "bounds", "defined in"]);
    for (path, limits) in source::limits() {
        for limit in limits {
            out.push_str(&row(&[&format!("`{}`", limit.name), &limit.value, &limit.doc, path]));
        }
    }
    out
}
