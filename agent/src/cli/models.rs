//! `weir models`: what a provider offers with the key that is configured.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::standpoint::StandpointError;
use super::{Exit, Place, output};
use crate::configuration::{Configuration, ConfigurationError};
use crate::model::config::Surroundings;
use crate::model::{Account, ConfigError, Model, ModelError};

const EXAMPLES: &str = "\
Examples:
  weir models
  weir models --provider ollama
  weir models --provider amazon-bedrock --json

Exit codes: 0 listed, 1 the provider did not answer, 2 the provider or its key cannot be used.";

/// Options of `weir models`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ModelsOptions {
    /// The provider [default: `model_provider` of the configuration, or openai]
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// Put VALUE in the place of what config.toml says of KEY; may be repeated
    #[arg(long, short = 'c', value_name = "KEY=VALUE")]
    config: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Why nothing is listed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Standpoint(#[from] StandpointError),
    #[error("{0}")]
    Configuration(#[from] ConfigurationError),
    #[error("{0}")]
    Provider(#[from] ConfigError),
    #[error("{0}")]
    Model(#[from] ModelError),
    #[error("cannot begin: {0}")]
    Runtime(std::io::Error),
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Self::Model(_) => Exit::No,
            Self::Runtime(_) => Exit::Failed,
            Self::Standpoint(_) | Self::Configuration(_) | Self::Provider(_) => Exit::BadInput,
        }
    }
}

/// What is found.
#[derive(Debug, Serialize)]
struct Listed {
    provider: String,
    name: String,
    account: Account,
    models: Vec<Model>,
}

pub(super) fn run(options: &ModelsOptions) -> Exit {
    match list(options) {
        Ok(listed) if options.json => output::json(&listed),
        Ok(listed) => output::text(&render(&listed)),
        Err(failure) => output::message(&format!("weir: {failure}"), failure.exit()),
    }
}

fn list(options: &ModelsOptions) -> Result<Listed, Failure> {
    let place = Place { config: None, project_root: Vec::new(), directory: None };
    let home = PathBuf::from(place.standpoint()?.weir_home.display().into_owned());
    let configuration = Configuration::read(&home, &options.config)?;
    let providers = configuration.providers()?;
    let id = options.provider.as_deref().map_or_else(|| configuration.provider(), Ok)?;
    let variable = |name: &str| std::env::var(name).ok();
    let provider = providers.provider(id, &Surroundings { variable: &variable, home: &home })?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let (account, models) = runtime
        .block_on(async { Ok::<_, ModelError>((provider.account().await?, provider.models().await?)) })?;
    Ok(Listed { provider: id.to_owned(), name: providers.name(id).to_owned(), account, models })
}

fn render(listed: &Listed) -> String {
    let account = match &listed.account {
        Account::Local => "no key is needed".to_owned(),
        Account::Key { from, accepted: true } => format!("the key from {from} was taken"),
        Account::Key { from, accepted: false } => format!("the key from {from} was not taken"),
        Account::Aws { from, region, usable, offered } => {
            format!("{region}, with credentials from {from}: {usable} of {offered} models may be used")
        }
    };
    let mut out = format!("{} ({}): {account}\n", listed.name, listed.provider);
    for Model { id, name, context_window, state } in &listed.models {
        let window = context_window.map(|tokens| format!("{tokens} tokens")).unwrap_or_default();
        let name = if name == id { "" } else { name };
        let line = format!("  {id:<44} {window:>14}  {name}  {}", state.as_deref().unwrap_or_default());
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
