//! The agent's part of the configuration: `$WEIR_HOME/config.toml`, with what the command line says in its place.
//!
//! Profiles are no part of it: the exec-server reads them from the files itself, and nothing said here changes what they allow.

mod options;

use std::path::{Path, PathBuf};

use toml::{Table, Value};
use weir_protocol::method::output::WhenLeft;
use weir_protocol::policy::Layer;
use weir_protocol::profile::read::SANDBOX_MODES;
use weir_protocol::profile::{Diagnostic, Format, Severity, Source};

use crate::approval::{ApprovalError, Approvals};
use crate::model::config::DEFAULT_PROVIDER;
use crate::model::{ConfigError, Effort, Prices, Providers};

/// The name of the file.
const FILE: &str = "config.toml";

/// The longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Of a model's window, how many percent a conversation may fill before it is summarized: the rest is for an answer.
const COMPACT_AT_PERCENT: u64 = 85;

/// Modes in which nothing of `sandbox_workspace_write` is given.
const PLAIN_MODES: [&str; 2] = ["read-only", "workspace-write"];

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is too long to be one.
    #[error("{} is longer than {limit} bytes", .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The file is no TOML.
    #[error("{}", .0.to_string().trim_end())]
    Toml(Box<Diagnostic>),
    /// An option is no key with a value. The value can be a provider's key, and is not repeated.
    #[error("`--config {key}=…` must be KEY=VALUE, with a dotted key")]
    Override {
        /// What was said before `=`.
        key: String,
    },
    /// An option without `=`, of which nothing is repeated.
    #[error("`--config` must be KEY=VALUE, and what was said has no `=`")]
    NoValue,
    /// An option that would change what is allowed.
    #[error("`--config {key}` cannot be said on the command line: profiles are read from files")]
    FilesAlone {
        /// The key.
        key: String,
    },
    /// An option whose key is one letter or two from one that is known.
    #[error("`--config {key}` is not known; did you mean `{near}`?")]
    Unknown {
        /// The key.
        key: String,
        /// The one that is known.
        near: &'static str,
    },
    /// Options that name two profiles.
    #[error("`--config sandbox_mode` and `--config default_permissions` cannot stand together")]
    TwoProfiles,
    /// An option that would add to a built-in profile, or take from one that files have made.
    #[error(
        "`--config sandbox_workspace_write.{key}` cannot be said on the command line, but for `false` beside the mode workspace-write or \
         read-only: write a profile, or say --write PATH"
    )]
    WorkspaceWrite {
        /// The key below the table.
        key: String,
    },
    /// Rules and questions.
    #[error(transparent)]
    Approvals(#[from] ApprovalError),
    /// A value of another kind.
    #[error("`{key}` must be {expected}")]
    Kind {
        /// The key.
        key: &'static str,
        /// What is expected.
        expected: &'static str,
    },
    /// Providers.
    #[error(transparent)]
    Providers(#[from] ConfigError),
}

/// What is configured.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    table: Table,
    /// What options say of it.
    said: Table,
    /// What the file says of approvals.
    approvals: Approvals,
}

impl Configuration {
    /// Reads the file below `home`, where there is one, and puts `overrides` in its place key by key.
    ///
    /// # Errors
    /// Where a file or an override cannot be read.
    pub fn read(home: &Path, overrides: &[String]) -> Result<Self, ConfigurationError> {
        let path = home.join(FILE);
        let text = read(&path)?;
        let wrong = |error| ConfigurationError::Toml(Box::new(fault(&path, text.clone(), &error)));
        let mut table: Table = text.parse().map_err(wrong)?;
        let approvals = Approvals::parse(&text, &path.display().to_string())?;
        let said = options::read(overrides)?;
        options::put(&mut table, said.clone());
        Ok(Self { table, said, approvals })
    }

    /// All providers.
    ///
    /// # Errors
    /// Where a table of one cannot be read.
    pub fn providers(&self) -> Result<Providers, ConfigError> {
        Providers::read(&self.table)
    }

    /// The id of the provider, where nothing else says it.
    ///
    /// # Errors
    /// Where it is of another kind.
    pub fn provider(&self) -> Result<&str, ConfigurationError> {
        Ok(self.text("model_provider")?.unwrap_or(DEFAULT_PROVIDER))
    }

    /// The model.
    ///
    /// # Errors
    /// Where it is of another kind.
    pub fn model(&self) -> Result<Option<&str>, ConfigurationError> {
        self.text("model")
    }

    /// The profile that options name, by its name or by the older mode; `mode` is one that has an option of its own. What the file says
    /// the server reads itself.
    ///
    /// # Errors
    /// Where there are two, there is no such mode, or an option changes what a profile allows.
    pub fn said_profile(&self, mode: Option<&str>) -> Result<Option<&str>, ConfigurationError> {
        let named = text_of(&self.said, "default_permissions")?;
        let said = text_of(&self.said, "sandbox_mode")?;
        let expected = "read-only, workspace-write or danger-full-access";
        let wrong = || ConfigurationError::Kind { key: "sandbox_mode", expected };
        let profile = said.map(|word| mode_profile(word).ok_or_else(wrong)).transpose()?;
        let is_plain = mode.or(said).is_some_and(|mode| PLAIN_MODES.contains(&mode));
        options::check_workspace_write(self.said.get("sandbox_workspace_write"), is_plain)?;
        match (named, profile) {
            (Some(_), Some(_)) => Err(ConfigurationError::TwoProfiles),
            (named, profile) => Ok(named.or(profile)),
        }
    }

    /// How much a model is to reason.
    ///
    /// # Errors
    /// Where it is no such word.
    pub fn effort(&self) -> Result<Option<Effort>, ConfigurationError> {
        self.word("model_reasoning_effort", "none, minimal, low, medium, high or xhigh")
    }

    /// When the person is asked, and about which commands.
    ///
    /// # Errors
    /// Where an option does not say what it should.
    pub fn approvals(&self) -> Result<Approvals, ConfigurationError> {
        Ok(self.approvals.clone().with_options(&self.said, &self.table)?)
    }

    /// Tokens above which a conversation is summarized, where the configuration knows.
    ///
    /// # Errors
    /// Where a number is none.
    pub fn compact_above(&self) -> Result<Option<u64>, ConfigurationError> {
        let limit = self.number("model_auto_compact_token_limit")?;
        let window = self.number("model_context_window")?;
        Ok(limit.or_else(|| window.map(|window| window.saturating_mul(COMPACT_AT_PERCENT) / 100)))
    }

    /// What tokens cost, by model.
    ///
    /// # Errors
    /// Where a price is none.
    pub fn prices(&self) -> Result<Prices, ConfigurationError> {
        let expected =
            "tables with input, output and currency; cached_input and cache_write_input may be there";
        Ok(self.word("model_prices", expected)?.unwrap_or_default())
    }

    /// What becomes of a command that runs when its agent goes without a word; where a server runs that goes on.
    ///
    /// # Errors
    /// Where it is no such word.
    pub fn left_commands(&self) -> Result<WhenLeft, ConfigurationError> {
        Ok(self.word("left_commands", "end or stay")?.unwrap_or_default())
    }

    fn text(&self, key: &'static str) -> Result<Option<&str>, ConfigurationError> {
        text_of(&self.table, key)
    }

    fn number(&self, key: &'static str) -> Result<Option<u64>, ConfigurationError> {
        let read = |value: &Value| value.as_integer().and_then(|number| u64::try_from(number).ok());
        let wrong = ConfigurationError::Kind { key, expected: "a number of tokens" };
        self.table.get(key).map(|value| read(value).ok_or(wrong)).transpose()
    }

    fn word<T: serde::de::DeserializeOwned>(
        &self,
        key: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, ConfigurationError> {
        let wrong = |_| ConfigurationError::Kind { key, expected };
        self.table.get(key).map(|value| value.clone().try_into().map_err(wrong)).transpose()
    }
}

/// Where the notation is wrong, shown as in any document: without a line in which a key may stand.
fn fault(path: &Path, text: String, error: &toml::de::Error) -> Diagnostic {
    let name = path.display().to_string();
    let document = match Source::new(&name, text.into_bytes(), Format::Toml, Layer::User) {
        Ok(document) => document,
        Err(diagnostic) => return *diagnostic,
    };
    let span = error.span().unwrap_or_default();
    document.diagnostic(Severity::Error, &span, format!("not valid TOML: {}", error.message()))
}

/// The built-in profile that an older sandbox mode means.
pub fn mode_profile(mode: &str) -> Option<&'static str> {
    SANDBOX_MODES.iter().find(|(word, _)| *word == mode).map(|(_, profile)| *profile)
}

fn text_of<'t>(table: &'t Table, key: &'static str) -> Result<Option<&'t str>, ConfigurationError> {
    let wrong = ConfigurationError::Kind { key, expected: "text" };
    table.get(key).map(|value| value.as_str().ok_or(wrong)).transpose()
}

/// The file's text; nothing where there is none.
fn read(path: &Path) -> Result<String, ConfigurationError> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            return Err(ConfigurationError::TooLong { path: path.to_owned(), limit: FILE_BYTES_MAX });
        }
        _ => {}
    }
    std::fs::read_to_string(path).map_err(|source| ConfigurationError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(overrides: &[&str]) -> Result<Configuration, ConfigurationError> {
        let overrides: Vec<_> = overrides.iter().map(|text| (*text).to_owned()).collect();
        Configuration::read(Path::new("/nowhere"), &overrides)
    }

    #[test]
    fn options_stand_in_place_of_the_file() {
        let home = tempfile::tempdir().unwrap();
        let text = "model = \"a\"\nmodel_context_window = 1000\n[model_providers.x]\nbase_url = \"http://h\"\nname = \"X\"";
        std::fs::write(home.path().join(FILE), text).unwrap();
        let overrides =
            ["model=b", "model_providers.x.base_url=http://i/v1", "model_reasoning_effort=\"high\""];
        let overrides: Vec<_> = overrides.iter().map(|text| (*text).to_owned()).collect();
        let read = Configuration::read(home.path(), &overrides).unwrap();
        assert_eq!(read.model().unwrap(), Some("b"));
        assert_eq!(read.effort().unwrap(), Some(Effort::High));
        assert_eq!(read.compact_above().unwrap(), Some(850));
        let provider = read.table["model_providers"]["x"].as_table().unwrap();
        assert_eq!(provider["base_url"].as_str(), Some("http://i/v1"));
        assert_eq!(provider["name"].as_str(), Some("X"));
    }

    #[test]
    fn a_profile_that_is_said_is_the_one_that_is_taken() {
        let said = |mode, overrides: &[&str]| {
            with(overrides)
                .unwrap()
                .said_profile(mode)
                .map(|found| found.map(str::to_owned))
                .map_err(|error| error.to_string())
        };
        let profiles: [(&[&str], Option<&str>); 7] = [
            (&[], None),
            (&["model=m"], None),
            (&["default_permissions=team"], Some("team")),
            (&[" default_permissions = team"], Some("team")),
            (&["\"default_permissions\"=\":read-only\""], Some(":read-only")),
            (&["sandbox_mode=read-only"], Some(":read-only")),
            (
                &["sandbox_mode=workspace-write", "sandbox_workspace_write.network_access=false"],
                Some(":workspace"),
            ),
        ];
        for (overrides, expect) in profiles {
            assert_eq!(said(None, overrides), Ok(expect.map(str::to_owned)), "{overrides:?}");
        }
        let no_network = "sandbox_workspace_write.network_access=false";
        assert_eq!(said(Some("workspace-write"), &[no_network]), Ok(None));
        let refused: [(Option<&str>, &[&str], &str); 8] = [
            (None, &["sandbox_mode=bogus"], "must be read-only, workspace-write or"),
            (None, &["sandbox_mode=1"], "must be text"),
            (None, &["sandbox_mode=read-only", "default_permissions=team"], "cannot stand together"),
            (None, &[no_network], "network_access` cannot be said"),
            (Some("danger-full-access"), &[no_network], "network_access` cannot be said"),
            (Some("workspace-write"), &["sandbox_workspace_write.network_access=true"], "cannot be said"),
            (Some("workspace-write"), &["sandbox_workspace_write.writable_roots=[\"/\"]"], "cannot be said"),
            (Some("workspace-write"), &["sandbox_workspace_write.what=false"], "what` cannot be said"),
        ];
        for (mode, overrides, expect) in refused {
            let error = said(mode, overrides).unwrap_err();
            assert!(error.contains(expect), "{overrides:?}: {error}");
        }
    }

    #[test]
    fn approvals_are_read_from_options_as_from_the_file() {
        use crate::approval::{Approval, Verdict};
        let home = tempfile::tempdir().unwrap();
        let file = "approval_policy = { granular = { rules = true, sandbox_approval = true, mcp_elicitations = true } }\n\
                    [approvals]\nrules = [{ command = [\"rm\"], decision = \"forbid\" }]\n";
        std::fs::write(home.path().join(FILE), file).unwrap();
        let with = |overrides: &[&str]| {
            let overrides: Vec<_> = overrides.iter().map(|text| (*text).to_owned()).collect();
            Configuration::read(home.path(), &overrides)?.approvals()
        };
        let is_refused = |approvals: &Approvals, program: &str| {
            matches!(approvals.command(&[program.to_owned()]), Verdict::Refuse(_))
        };
        let plain = with(&[]).unwrap();
        assert!(is_refused(&plain, "rm") && plain.granular.sandbox_approval);
        let never = with(&["approval_policy=never"]).unwrap();
        assert_eq!((never.policy, is_refused(&never, "rm")), (Approval::Never, true));
        let granular = with(&["approval_policy.granular.sandbox_approval=false"]).unwrap();
        assert_eq!(granular.policy, Approval::Granular);
        assert!(granular.granular.rules && !granular.granular.sandbox_approval);
        let rules = with(&["approvals.rules=[{command=[\"touch\"],decision=\"forbid\"}]"]).unwrap();
        assert!(is_refused(&rules, "touch") && !is_refused(&rules, "rm"));
        assert_eq!((rules.policy, rules.granular), (plain.policy, plain.granular));
        let Verdict::Refuse(why) = rules.command(&["touch".to_owned()]) else { panic!() };
        assert!(why.contains("`touch` = forbid (--config)"), "{why}");
        for wrong in [
            "approval_policy=perhaps",
            "approval_policy={granular={bogus=true}}",
            "approvals.rule=[]",
            "approvals.rules=[{command=[],decision=\"forbid\"}]",
            "approvals=1",
        ] {
            assert!(with(&[wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_of_another_kind_are_refused() {
        assert!(with(&["model=1"]).unwrap().model().is_err());
        assert!(with(&["model_reasoning_effort=hard"]).unwrap().effort().is_err());
        assert!(with(&["model_prices.m.input=1"]).unwrap().prices().is_err());
        assert!(with(&["left_commands=perhaps"]).unwrap().left_commands().is_err());
        assert_eq!(with(&["left_commands=stay"]).unwrap().left_commands().unwrap(), WhenLeft::Stay);
        assert!(with(&["model_context_window=-1"]).unwrap().compact_above().is_err());
    }
}
