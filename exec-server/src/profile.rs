//! From files to a policy: which files count, how they are put together, and what they mean on this host.
//!
//! [`load`] finds and reads the layers, [`merge`] folds them and the profiles that extend each other into one,
//! [`resolve`] gives every rule its absolute place, and [`ceiling`] holds the result below the administrator's limit.
//! Only [`load`] and [`surroundings`] touch the host; the rest is pure.

pub mod builtin;
pub mod ceiling;
mod command_line;
pub mod load;
pub mod merge;
pub mod places;
pub mod resolve;
pub mod standing;
pub mod surroundings;

pub use command_line::CommandLineError;
pub use load::{LoadError, Loaded, Selection};
pub use surroundings::{Surroundings, Terrain};

/// Profiles as text, for tests of what is made of them.
#[cfg(test)]
pub(crate) mod literal {
    use weir_protocol::AbsPath;
    use weir_protocol::policy::{Layer, Policy};
    use weir_protocol::profile::Format;

    use super::surroundings::{Host, Surroundings};
    use super::{load, resolve};

    /// The profile `test` of a text, for somebody with this home who stands there.
    pub(crate) fn policy(text: &str, home: AbsPath, cwd: AbsPath) -> Policy {
        let reading = load::parse("test.toml", text.into(), Format::Toml, Layer::User);
        let weir_home = home.join(".weir").unwrap();
        let around = Surroundings {
            weir_home,
            cwd,
            home,
            project_roots: Vec::new(),
            tmpdir: None,
            other_homes: Vec::new(),
        };
        let profile = &reading.document.unwrap().profiles["test"];
        resolve::resolve("test", profile, &around, &Host::default()).unwrap().policy
    }
}
