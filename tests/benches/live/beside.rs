//! Other sandboxes, held to the same: a project that can be written, in which `**/*.env` cannot be read.
//!
//! What they make of it is their own: landstrip asks about each opening where a pattern is given, and closes what matches at the start;
//! sandlock has no patterns, so that it is given the file that matches.

use std::ffi::OsString;
use std::path::PathBuf;

use weir_tests::sandbox::World;

use super::Holder;

/// A sandbox, and the variable that names its program.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Landstrip,
    Sandlock,
}

const KINDS: [(Kind, &str, &str); 2] =
    [(Kind::Landstrip, "landstrip", "LANDSTRIP"), (Kind::Sandlock, "sandlock", "SANDLOCK")];

/// Runs a command as its module does; sandlock's own program has to be compiled.
const SANDLOCK: &str = "
import sys, sandlock
work, home, temporary, denied, words = *sys.argv[1:5], sys.argv[5:]
writable = [work, home, temporary, '/dev/null']
box = sandlock.Sandbox(fs_readable=['/'], fs_writable=writable, fs_denied=[denied], cwd=work)
done = box.run(words)
sys.stdout.buffer.write(done.stdout)
sys.stderr.buffer.write(done.stderr)
sys.exit(done.exit_code)
";

/// One that is there.
pub(super) struct Sandbox {
    kind: Kind,
    name: &'static str,
    program: PathBuf,
}

/// Those that are there.
pub(super) fn found() -> Vec<Sandbox> {
    let named = KINDS.into_iter().filter_map(|(kind, name, variable)| {
        let program = std::env::var_os(variable).filter(|path| !path.is_empty())?;
        Some(Sandbox { kind, name, program: program.into() })
    });
    named.collect()
}

/// Says which are not.
pub(super) fn say_absent() {
    for (_, name, variable) in KINDS {
        if std::env::var_os(variable).is_none_or(|path| path.is_empty()) {
            println!("{name} is left out: {variable} does not name it");
        }
    }
}

/// Makes a file that is closed, and a control.
pub(super) fn closed(world: &World) {
    world.file("work/control", "content");
    world.file("work/closed/a.env", "secret");
}

impl Sandbox {
    /// Runs in this world, which has what is [`closed`].
    pub(super) fn holder(self, world: World) -> Holder {
        let Self { kind, name, program } = self;
        let policy = format!(
            "{{\"filesystem\":{{\"allowWrite\":[{:?},{:?},{:?},\"/dev/null\"],\"denyRead\":[\"**/*.env\"],\"denyWrite\":[\"**/*.env\"]}}}}",
            world.at("work"),
            world.at("home"),
            world.directory("temporary"),
        );
        let policy = world.file("policy.json", policy);
        let mut before: Vec<OsString> = match kind {
            Kind::Landstrip => vec!["run".into(), "-p".into(), policy.into(), "--".into()],
            Kind::Sandlock => vec!["-c".into(), SANDLOCK.into()],
        };
        if matches!(kind, Kind::Sandlock) {
            before
                .extend(["work", "home", "temporary", "work/closed/a.env"].map(|path| world.at(path).into()));
        }
        let holder = Holder::new(name, move |words| {
            let mut command = world.command(&program);
            command.env("TMPDIR", world.at("temporary")).args(&before).args(words);
            command
        });
        holder.closes();
        holder
    }
}

impl Holder {
    /// What is measured must hold: the control reads, the closed file is not read.
    fn closes(&self) {
        let read = |file: &str| {
            let mut command = (self.command)(&super::words(["cat", file]));
            weir_tests::sandbox::finish(&mut command)
        };
        let control = read("control");
        assert_eq!(control.code, 0, "{}: {}", self.name, control.stderr);
        assert_ne!(read("closed/a.env").code, 0, "{} closes nothing", self.name);
    }
}
