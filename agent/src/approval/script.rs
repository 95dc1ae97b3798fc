//! Which commands a shell is given, where its script is made of plain words; otherwise nothing is said of it.
//!
//! This is no shell. Whatever a shell would expand, redirect, repeat or decide makes a script opaque, so that no rule is taken to
//! cover what it does not.

/// What a command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Runs {
    /// Itself: it is no shell.
    Itself,
    /// Exactly these, in some order, some or all of them.
    Commands(Vec<Vec<String>>),
    /// A script of which this cannot be told.
    Opaque,
}

/// Programs that take a script.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "zsh", "ksh", "ash", "rbash"];

/// Words at the beginning of a command that make the shell do something else than run it, or run what is behind them.
const RESERVED: [&str; 57] = [
    "if",
    "then",
    "else",
    "elif",
    "fi",
    "for",
    "while",
    "until",
    "do",
    "done",
    "case",
    "esac",
    "in",
    "select",
    "function",
    "time",
    "coproc",
    "eval",
    "exec",
    "source",
    ".",
    "command",
    "builtin",
    "trap",
    "mapfile",
    "readarray",
    "compgen",
    "enable",
    "fc",
    "bind",
    "noglob",
    "nocorrect",
    "repeat",
    // What the words behind them mean, or which program a name is, is another afterwards.
    "alias",
    "unalias",
    "hash",
    "export",
    "declare",
    "typeset",
    "local",
    "readonly",
    "integer",
    "float",
    "let",
    "read",
    "vared",
    "unset",
    "shopt",
    "setopt",
    "unsetopt",
    "emulate",
    "autoload",
    "functions",
    "zmodload",
    "getopts",
    "sched",
    "disable",
];

/// Commands of a shell's own that may take a word for an expression, and carry out what stands in that: `a[$(…)]` (bash(1), "Arrays").
const EVALUATING: [&str; 12] = [
    "test", "printf", "print", "wait", "exit", "return", "shift", "break", "continue", "ulimit", "kill",
    "limit",
];

/// What `set` may be told so that all other words mean the same afterwards.
const SETTINGS: [&str; 13] =
    ["-e", "-u", "-x", "-eu", "-ex", "-eux", "-euo", "-o", "pipefail", "errexit", "nounset", "+e", "+x"];

/// Letters without which a word carries nothing out.
const CARRYING: [char; 3] = ['$', '`', '['];

/// The last part of a program's path.
pub(super) fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// What a command runs, looking into the script of a shell.
pub(super) fn runs(argv: &[String]) -> Runs {
    let is_shell = argv.first().is_some_and(|program| SHELLS.contains(&base_name(program)));
    if !is_shell {
        return Runs::Itself;
    }
    match argv {
        [_, option, script] if is_script_option(option) => read(script).map_or(Runs::Opaque, Runs::Commands),
        _ => Runs::Opaque,
    }
}

/// `-c`, alone or with options that change nothing of what a script says: `-lc`, `-ec`.
fn is_script_option(option: &str) -> bool {
    let letters = option.strip_prefix('-').and_then(|letters| letters.strip_suffix('c'));
    letters.is_some_and(|letters| letters.chars().all(|letter| "leux".contains(letter)))
}

/// What has been read of a script.
#[derive(Default)]
struct Script {
    commands: Vec<Vec<String>>,
    words: Vec<String>,
    /// The word under way; empty quotes make an empty one.
    word: Option<String>,
}

impl Script {
    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    /// None where the command is none that can be told.
    fn end_command(&mut self) -> Option<()> {
        self.end_word();
        let words = std::mem::take(&mut self.words);
        let Some((first, others)) = words.split_first() else { return Some(()) };
        let first = first.as_str();
        let is_opaque = first.contains('=')
            || RESERVED.contains(&first)
            || (EVALUATING.contains(&first) && others.iter().any(|word| word.contains(CARRYING)))
            || (first == "set" && !others.iter().all(|word| SETTINGS.contains(&word.as_str())));
        if is_opaque {
            return None;
        }
        self.commands.push(words);
        Some(())
    }
}

/// The commands of a script of plain words.
fn read(script: &str) -> Option<Vec<Vec<String>>> {
    let mut out = Script::default();
    let mut rest = script.chars();
    while let Some(letter) = rest.next() {
        match letter {
            ' ' | '\t' => out.end_word(),
            '\n' | ';' | '|' | '&' => out.end_command()?,
            '\'' | '"' => {
                let word = out.word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        quote if quote == letter => break,
                        '$' | '`' | '\\' | '!' if letter == '"' => return None,
                        quoted => word.push(quoted),
                    }
                }
            }
            plain if plain.is_alphanumeric() || "-_./,:=@%+^~".contains(plain) => {
                out.word.get_or_insert_default().push(plain);
            }
            _ => return None,
        }
    }
    out.end_command()?;
    Some(out.commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(script: &str) -> Option<Vec<String>> {
        match runs(&["/bin/bash".to_owned(), "-lc".to_owned(), script.to_owned()]) {
            Runs::Itself => panic!("it is a shell"),
            Runs::Commands(commands) => Some(commands.iter().map(|words| words.join("·")).collect()),
            Runs::Opaque => None,
        }
    }

    #[test]
    fn scripts_of_plain_words() {
        let cases: [(&str, &[&str]); 9] = [
            ("cargo test", &["cargo·test"]),
            ("cd a && git push; ls|wc -l", &["cd·a", "git·push", "ls", "wc·-l"]),
            ("git commit -m 'a $b; rm'", &["git·commit·-m·a $b; rm"]),
            ("g'i't \"pu\"sh", &["git·push"]),
            ("a ''", &["a·"]),
            ("make &\n\nwait", &["make", "wait"]),
            ("set -euo pipefail; ls", &["set·-euo·pipefail", "ls"]),
            ("echo '$x'; printf '%s' a", &["echo·$x", "printf·%s·a"]),
            ("", &[]),
        ];
        for (script, expect) in cases {
            assert_eq!(told(script).as_deref(), Some(&expect.map_owned()[..]), "{script}");
        }
    }

    trait MapOwned {
        fn map_owned(&self) -> Vec<String>;
    }

    impl MapOwned for &[&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(|text| (*text).to_owned()).collect()
        }
    }

    #[test]
    fn everything_else_is_opaque() {
        for script in [
            "git $x",
            "`git push`",
            "a > b",
            "a < b",
            "(git push)",
            "{ git push; }",
            "X=1 git push",
            "if true; then git push; fi",
            "git pu\\sh",
            "ls *",
            "ls ?",
            "\"$(git push)\"",
            "eval 'git push'",
            "echo 'a",
            "a #b",
            "! git push",
            "git pu[s]h",
            "f() { git push; }",
            "\"a\\\"b\"",
            "exec git push",
            ". ./script",
            "builtin eval touch f",
            "trap 'touch f' EXIT",
            "mapfile -C 'touch f'",
            "test -v 'a[$(touch f)]'",
            "printf -v 'a[`touch f`]' x",
            "let 'a[$(touch f)]'",
            "alias ls='touch f'\nls",
            "hash -p /tmp/x ls; ls",
            "export PATH=/tmp; ls",
            "set -k; ls PATH=/tmp",
        ] {
            assert_eq!(told(script), None, "{script}");
        }
        for argv in [
            &["bash", "script.sh"][..],
            &["sh"],
            &["bash", "-c", "ls", "x"],
            &["bash", "-ic", "ls"],
            &["zsh", "-s"],
        ] {
            let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(runs(&argv), Runs::Opaque, "{argv:?}");
        }
        let plain = ["git".to_owned(), "-c".to_owned(), "x".to_owned()];
        assert_eq!(runs(&plain), Runs::Itself);
    }
}
