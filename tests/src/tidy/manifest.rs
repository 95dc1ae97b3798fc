//! A Cargo manifest as far as the rules about dependencies need it: which crates, of which kind, with which features.
//!
//! Pure over text. Caller: [`super::edges`] and [`super::features`].

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{Finding, Source};

/// What a dependency is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Part of the product, build scripts included.
    Product,
    /// Tests, examples and benchmarks.
    Development,
}

/// One dependency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// The package's name, also where the manifest renames it.
    pub package: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The features that the manifest, or the workspace for it, turns on; sorted.
    pub features: Vec<String>,
}

/// The dependencies of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The package's name.
    pub package: String,
    /// All its dependencies, those for one target included; sorted.
    pub dependencies: Vec<Dependency>,
}

/// What the root manifest says about each dependency that members inherit: name → specification.
pub type Inherited = BTreeMap<String, Value>;

/// Reads `[workspace.dependencies]` of the root manifest.
///
/// # Errors
/// When the text is no TOML.
pub fn inherited(root: &Source) -> Result<Inherited, Finding> {
    let table = parse(root)?;
    let dependencies = table.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let dependencies = dependencies.and_then(Value::as_table).cloned().unwrap_or_default();
    Ok(dependencies.into_iter().collect())
}

/// Reads a member's manifest.
///
/// # Errors
/// When the text is no TOML or the package has no name.
pub fn read(source: &Source, inherited: &Inherited) -> Result<Manifest, Finding> {
    let table = parse(source)?;
    let name = table.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
    let package = name.ok_or_else(|| Finding::new(source, 0, "the package has no name"))?.to_owned();
    let targets = table.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = std::iter::once(&table).chain(targets.filter_map(Value::as_table));
    let mut dependencies: Vec<Dependency> = tables.flat_map(|table| all_sections(table, inherited)).collect();
    dependencies.sort();
    Ok(Manifest { package, dependencies })
}

fn parse(source: &Source) -> Result<Table, Finding> {
    source.text.parse().map_err(|error: toml::de::Error| Finding::new(source, 0, error.message()))
}

fn all_sections(table: &Table, inherited: &Inherited) -> Vec<Dependency> {
    let sections = [
        ("dependencies", Purpose::Product),
        ("build-dependencies", Purpose::Product),
        ("dev-dependencies", Purpose::Development),
    ];
    let section = |(key, purpose): (&str, Purpose)| {
        let entries = table.get(key).and_then(Value::as_table).into_iter().flatten();
        entries.map(|(name, value)| dependency(name, value, purpose, inherited)).collect::<Vec<_>>()
    };
    sections.into_iter().flat_map(section).collect()
}

fn dependency(name: &str, value: &Value, purpose: Purpose, inherited: &Inherited) -> Dependency {
    let base = inherited.get(name).filter(|_| value.get("workspace").is_some());
    let specifications = [Some(value), base];
    let renamed =
        specifications.iter().flatten().find_map(|value| value.get("package")).and_then(Value::as_str);
    let lists =
        specifications.iter().flatten().filter_map(|value| value.get("features")).filter_map(Value::as_array);
    let mut features: Vec<String> = lists.flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    features.sort();
    features.dedup();
    Dependency { package: renamed.unwrap_or(name).to_owned(), purpose, features }
}

#[cfg(test)]
mod tests {
    use super::{Dependency, Purpose, inherited, read};
    use crate::tidy::Source;

    const ROOT: &str = r#"
[workspace.dependencies]
tokio = { version = "1", features = ["rt"] }
wire = { package = "weir-protocol", path = "protocol" }
"#;

    const MEMBER: &str = r#"
[package]
name = "weir-agent"
[dependencies]
wire.workspace = true
tokio = { workspace = true, features = ["process"] }
plain = "1"
[build-dependencies]
built = "1"
[dev-dependencies]
tempfile = "3"
[target.'cfg(unix)'.dependencies]
nix = { version = "0.31", features = ["fs", "fs"] }
"#;

    #[test]
    fn every_section_is_read_and_names_are_those_of_packages() {
        let inherited = inherited(&Source::new("Cargo.toml", ROOT)).unwrap();
        let manifest = read(&Source::new("agent/Cargo.toml", MEMBER), &inherited).unwrap();
        let expect = [
            ("built", Purpose::Product, &[][..]),
            ("nix", Purpose::Product, &["fs"]),
            ("plain", Purpose::Product, &[]),
            ("tempfile", Purpose::Development, &[]),
            ("tokio", Purpose::Product, &["process", "rt"]),
            ("weir-protocol", Purpose::Product, &[]),
        ];
        let expect = expect.map(|(package, purpose, features)| Dependency {
            package: package.to_owned(),
            purpose,
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        });
        assert_eq!(manifest.package, "weir-agent");
        assert_eq!(manifest.dependencies, expect);
    }

    #[test]
    fn what_is_no_manifest_is_a_finding() {
        for text in ["[package", "[package]\nversion = \"1\"", ""] {
            assert!(read(&Source::new("a/Cargo.toml", text), &Default::default()).is_err(), "{text}");
        }
        assert!(inherited(&Source::new("Cargo.toml", "[workspace")).is_err());
    }
}
