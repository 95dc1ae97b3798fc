//! Arguments as a model wrote them, read strictly; what is wrong is said so that it can do better.

use std::path::Path;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use weir_protocol::AbsPath;

/// Reads the arguments of `tool`.
///
/// # Errors
/// What is wrong and what was expected, for the model.
pub(crate) fn read<T: DeserializeOwned + JsonSchema>(tool: &str, arguments: &str) -> Result<T, String> {
    // Some models send nothing where there is nothing to say.
    let text = if arguments.trim().is_empty() { "{}" } else { arguments };
    serde_json::from_str(text).map_err(|error| {
        format!(
            "the arguments of `{tool}` cannot be read: {error}. Expected, as JSON Schema: {}",
            schema::<T>()
        )
    })
}

/// The schema of a tool's arguments.
pub(crate) fn schema<T: JsonSchema>() -> Value {
    let generator = schemars::generate::SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        object.remove("title");
    }
    schema
}

/// A path as a model names it: absolute, below the home directory (`~/`), or relative to `base`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn path(text: &str, base: &AbsPath, home: &AbsPath) -> Result<AbsPath, String> {
    let found = match text.strip_prefix('~') {
        Some("") => Some(home.clone()),
        Some(rest) if rest.starts_with('/') => {
            AbsPath::from_host(&home.as_path().join(rest.trim_start_matches('/')))
        }
        _ => AbsPath::from_host(&base.as_path().join(Path::new(text))),
    };
    found.filter(|_| !text.is_empty()).ok_or_else(|| format!("`{text}` is no path"))
}
