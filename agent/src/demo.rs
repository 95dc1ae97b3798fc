//! `weir demo`: a recorded session on a small project that is made for it. The model's words are recorded; everything it asks for is
//! really done, or really refused, by the exec-server on this machine. No key and no network are needed.
//!
//! The session is a turn like any other ([`exec`](crate::exec)), with the provider `replay`. At its end is checked that what should have
//! happened has happened: a demonstration that only looks right is worse than none.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use weir_protocol::AbsPath;
use weir_protocol::method::output::WhenLeft;
use weir_protocol::method::policy::{Choice, Standpoint};
use weir_protocol::method::process::{Planned, Start, Stdio};
use weir_protocol::method::{Call, Error, code};

use crate::approval::{Approval, Approvals};
use crate::exec::{Answering, Continued, Done, Exec, ExecError, Kept, Show};
use crate::link::{Link, LinkError, Which};
use crate::model::{Replay, ReplayError};
use crate::thread::TurnStatus;

/// The provider, and the only model of a recording.
const PROVIDER: &str = "replay";
const MODEL: &str = "recorded";

/// What the session is asked.
const PROMPT: &str = "The test of this project fails. Find out why and mend it.";

/// What nobody but the project's owner may read.
const SECRET: &str = "TOKEN=only-the-owner-reads-this\n";

const SESSION: &str = include_str!("demo/session.jsonl");
const PROFILE: &str = include_str!("demo/config.toml");
const NETWORK: &str = include_str!("demo/network.toml");

/// The line of the profile behind which the other stands where there are no namespaces.
const EXTENDS: &str = "extends = \":workspace\"";
const GIVEN_UP: &str =
    "degrade = [\"shared-processes\", \"shared-metadata\", \"no-stand-ins\", \"shared-signals\"]";

/// The project's files.
const FILES: [(&str, &str); 4] = [
    ("README.md", include_str!("demo/README.md")),
    ("greet.sh", include_str!("demo/greet.sh")),
    ("test.sh", include_str!("demo/test.sh")),
    ("settings.env", SECRET),
];

/// What this machine can hold the session to, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// All of it.
    Whole,
    /// Files, and no network at all: it holds no rules for hosts.
    NoHosts,
    /// The same without namespaces: the profile gives up by name what needs them.
    NoNamespaces,
}

impl Ground {
    const ALL: [Self; 3] = [Self::Whole, Self::NoHosts, Self::NoNamespaces];

    /// The profile.
    fn profile(self) -> String {
        match self {
            Self::Whole => format!("{PROFILE}{NETWORK}"),
            Self::NoHosts => PROFILE.to_owned(),
            Self::NoNamespaces => PROFILE.replacen(EXTENDS, &format!("{EXTENDS}\n{GIVEN_UP}"), 1),
        }
    }

    /// What should be said of it.
    #[must_use]
    pub const fn remark(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::NoHosts => Some(
                "this machine holds no rules for hosts (`weir doctor` says why): the session has no network at all",
            ),
            Self::NoNamespaces => Some(
                "this machine gives no namespaces (`weir doctor` says why): the profile gives up by name what needs them, and the session \
                 has no network at all",
            ),
        }
    }
}

/// Why the session cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The project cannot be made.
    #[error("cannot make the project of the demonstration: {0}")]
    Project(#[from] std::io::Error),
    /// Its place has a name that no profile can hold.
    #[error("{}: the demonstration needs a temporary directory with a name in UTF-8", .0.display())]
    Name(PathBuf),
    /// No exec-server.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The recording is none.
    #[error(transparent)]
    Recording(#[from] ReplayError),
    /// It did not run.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// It ran, and not as it should.
    #[error("the session did not come to its end: {0}")]
    Unfinished(String),
    /// The project is not mended, or what was closed was read.
    #[error("the session ended, and {0}")]
    Wrong(&'static str),
}

/// A project with its own directory of Weir's, which goes with this value.
#[derive(Debug)]
pub struct Demo {
    directory: TempDir,
    standpoint: Standpoint,
    ground: Ground,
}

impl Demo {
    /// Makes the project.
    ///
    /// # Errors
    /// [`DemoError`].
    pub fn new() -> Result<Self, DemoError> {
        let directory = tempfile::Builder::new().prefix("weir-demo-").tempdir()?;
        let place = directory.path().canonicalize()?;
        for name in ["project", "home/.weir"] {
            fs::create_dir_all(place.join(name))?;
        }
        for (name, text) in FILES {
            fs::write(place.join("project").join(name), text)?;
        }
        let at =
            |name: &str| AbsPath::from_host(&place.join(name)).ok_or_else(|| DemoError::Name(place.clone()));
        let standpoint = Standpoint {
            cwd: at("project")?,
            project_roots: Vec::new(),
            home: at("home")?,
            weir_home: at("home/.weir")?,
            tmpdir: None,
        };
        let mut demo = Self { directory, standpoint, ground: Ground::Whole };
        demo.settle()?;
        Ok(demo)
    }

    /// Where the project is.
    #[must_use]
    pub fn place(&self) -> &Path {
        self.directory.path()
    }

    /// Keeps the project, and says where.
    #[must_use]
    pub fn keep(self) -> PathBuf {
        self.directory.keep()
    }

    /// What is asked of the model.
    #[must_use]
    pub const fn prompt(&self) -> &'static str {
        PROMPT
    }

    /// What the profile says, as it stands in the project's configuration.
    #[must_use]
    pub fn profile(&self) -> String {
        self.ground.profile()
    }

    /// What this machine holds the session to.
    #[must_use]
    pub const fn ground(&self) -> Ground {
        self.ground
    }

    /// Writes the best profile that can be enforced here: found by compiling it, as for a command.
    fn settle(&mut self) -> Result<(), DemoError> {
        let path = self.standpoint.weir_home.as_path().join("config.toml");
        let mut refused = None;
        for ground in Ground::ALL {
            self.ground = ground;
            fs::write(&path, self.profile())?;
            match Link::embedded()?.call::<Planned>(Call::ProcessPlan(Box::new(self.trial()))) {
                Ok(_) => return Ok(()),
                Err(error @ LinkError::Refused(Error { code: code::UNENFORCEABLE, .. })) => {
                    refused = Some(error)
                }
                Err(error) => return Err(error.into()),
            }
        }
        refused.map_or(Ok(()), |error| Err(error.into()))
    }

    fn choice(&self) -> Choice {
        let [read, write, copy, deny] = [const { Vec::new() }; 4];
        Choice { standpoint: self.standpoint.clone(), config: None, profile: None, read, write, copy, deny }
    }

    /// A command that is planned and never run.
    fn trial(&self) -> Start {
        Start {
            choice: self.choice(),
            argv: vec!["true".into()],
            env: Vec::new(),
            set: Vec::new(),
            stdio: Stdio::Descriptors { open: [false; 3] },
            timeout_ms: None,
            user: None,
            output: Default::default(),
            umask: None,
            under: None,
            asking: None,
            record: None,
        }
    }

    /// Plays the session, with an exec-server of its own.
    ///
    /// # Errors
    /// [`DemoError`], also where it did not go as it should.
    pub async fn play(&self, show: &dyn Show) -> Result<Done, DemoError> {
        let home = self.standpoint.weir_home.as_path();
        let provider = Replay::of(PROVIDER, SESSION)?;
        let exec = Exec {
            which: Which::None,
            choice: self.choice(),
            home,
            continued: Continued::New,
            kept: Kept::Disk,
            provider: &provider,
            model: Some(MODEL.to_owned()),
            usual_model: None,
            effort: None,
            output_schema: None,
            // At the end the project is looked at and removed, its directory included.
            writes: self.place().parent().map(Path::to_owned).into_iter().collect(),
            compact_above: None,
            approvals: Approvals { policy: Approval::Never, ..Approvals::default() },
            when_left: WhenLeft::End,
            answering: Answering::Nobody,
            secret_variables: Vec::new(),
            prompt: PROMPT.to_owned(),
        };
        let done = exec.run(show).await?;
        self.check(&done)?;
        Ok(done)
    }

    fn check(&self, done: &Done) -> Result<(), DemoError> {
        match &done.ended.status {
            TurnStatus::Completed => {}
            TurnStatus::Failed { message } => return Err(DemoError::Unfinished(message.clone())),
            TurnStatus::Interrupted | TurnStatus::Open => {
                return Err(DemoError::Unfinished("it was interrupted".to_owned()));
            }
        }
        let greet = fs::read_to_string(self.standpoint.cwd.as_path().join("greet.sh"))?;
        if !greet.contains("${1:-world}") {
            return Err(DemoError::Wrong("the project is as it was"));
        }
        if self.holds_secret(&self.standpoint.weir_home.as_path().join("sessions"))? {
            return Err(DemoError::Wrong("the thread holds what must not be read"));
        }
        Ok(())
    }

    /// Whether a file below `directory` holds the secret.
    fn holds_secret(&self, directory: &Path) -> Result<bool, DemoError> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let found = if path.is_dir() {
                self.holds_secret(&path)?
            } else {
                String::from_utf8_lossy(&fs::read(&path)?).contains(SECRET.trim_end())
            };
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
