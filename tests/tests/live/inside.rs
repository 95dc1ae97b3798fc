//! A shell in a sandbox that does what it is told, one line at a time.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use weir_tests::sandbox::World;

/// The rules of most tests: a pattern for files, one for directories, a closed directory and a closed file.
pub(crate) const RULES: &str = r#"
":project_roots" = { "." = "write", "**/*.env" = "none", "**/.secrets" = "none" }
"{w}/work/private" = "none"
"{w}/work/secret.txt" = "none"
glob_scan_max_depth = 1
"#;

/// A shell under the profile of a world.
pub(crate) struct Inside {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Inside {
    /// Starts it and waits until it answers.
    pub(crate) fn start(world: &World) -> Self {
        Self::of(world.weir(["--quiet"]))
    }

    /// The same by a command to which the shell is still to be added.
    pub(crate) fn of(mut weir: Command) -> Self {
        weir.arg("sh");
        Self::of_shell(weir)
    }

    /// The same by a command that ends with the shell.
    pub(crate) fn of_shell(mut shell: Command) -> Self {
        let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut inside = Self { child, input, output };
        assert!(inside.does("true"), "the shell does not answer");
        inside
    }

    /// Whether a line of shell succeeds.
    pub(crate) fn does(&mut self, line: &str) -> bool {
        writeln!(self.input, "if ( {line} ) >/dev/null 2>&1; then echo yes; else echo no; fi").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        match answer.trim() {
            "yes" => true,
            "no" => false,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// An act that works without Weir is refused here.
    pub(crate) fn is_refused(&mut self, world: &World, line: &str) {
        let refused = !self.does(line);
        let outside = world.outside(["sh", "-c", line]);
        assert_eq!(outside.code, 0, "{:?}, outside, {line}: {}", world.way(), outside.stderr);
        assert!(refused, "{:?}: {line}", world.way());
    }

    /// Ends it.
    pub(crate) fn end(self) {
        let Self { mut child, input, output } = self;
        drop(input);
        drop(output);
        child.wait().unwrap();
    }
}
