//! The tree of Seatbelt's operations: from a specific one to the families that hold it.
//!
//! Source: the operations that Apple's own profiles name, and their families as the system's compiler nests them.

/// Families by how the names of their members begin, longest first within a branch; each with the family itself.
const FAMILIES: [(&str, &str); 21] = [
    ("file-read-", "file-read*"),
    ("file-write-", "file-write*"),
    ("file-mount-", "file-mount"),
    ("file-", "file*"),
    ("process-exec-", "process-exec*"),
    ("process-info-", "process-info*"),
    ("process-", "process*"),
    ("network-", "network*"),
    ("mach-issue-extension-", "mach-issue-extension*"),
    ("mach-task-", "mach-task*"),
    ("mach-priv-", "mach-priv*"),
    ("mach-", "mach*"),
    ("sysctl-", "sysctl*"),
    ("ipc-posix-shm-read-", "ipc-posix-shm-read*"),
    ("ipc-posix-shm-write-", "ipc-posix-shm-write*"),
    ("ipc-posix-shm-", "ipc-posix-shm*"),
    ("ipc-posix-sem-", "ipc-posix-sem*"),
    ("ipc-posix-", "ipc-posix*"),
    ("ipc-", "ipc*"),
    ("iokit-", "iokit*"),
    ("system-", "system*"),
];

/// Families that may also be named without their `*`.
const BARE: [&str; 3] = ["process-exec", "ipc-posix-shm", "ipc-posix-sem"];

/// Operations that belong to no family, or whose family has no other member here.
const ALONE: [&str; 10] = [
    "default",
    "signal",
    "pseudo-tty",
    "appleevent-send",
    "lsopen",
    "user-preference-read",
    "user-preference-write",
    "distributed-notification-post",
    "job-creation",
    "hid-control",
];

/// Whether a rule may name this operation.
#[must_use]
pub fn is_known(name: &str) -> bool {
    let word = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte == b'*');
    let family = |(prefix, family): &(&str, &str)| {
        name == *family || name.len() > prefix.len() && name.starts_with(prefix)
    };
    word && (ALONE.contains(&name) || BARE.contains(&name) || FAMILIES.iter().any(family))
}

/// The operation and every family that holds it, the most specific first, `default` last.
#[must_use]
pub fn chain(name: &str) -> Vec<&str> {
    let mut out = vec![name];
    let mut current = name;
    if BARE.contains(&name) {
        // Both spellings name the same operation.
        let starred =
            FAMILIES.iter().map(|(_, family)| *family).find(|family| family.trim_end_matches('*') == name);
        if let Some(starred) = starred {
            out.push(starred);
            current = starred;
        }
    }
    while let Some(family) = parent(current) {
        out.push(family);
        if let Some(bare) = BARE.iter().find(|bare| **bare == family.trim_end_matches('*')) {
            out.push(bare);
        }
        current = family;
    }
    if name != "default" {
        out.push("default");
    }
    out
}

fn parent(name: &str) -> Option<&'static str> {
    FAMILIES
        .iter()
        .find(|(prefix, family)| {
            *family != name && name.starts_with(prefix) && name.trim_end_matches('*').len() >= prefix.len()
        })
        .map(|(_, family)| *family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_form_a_tree() {
        let cases: [(&str, &[&str]); 9] = [
            ("file-read-data", &["file-read-data", "file-read*", "file*", "default"]),
            ("file-read*", &["file-read*", "file*", "default"]),
            ("file-link", &["file-link", "file*", "default"]),
            ("file*", &["file*", "default"]),
            ("process-exec", &["process-exec", "process-exec*", "process*", "default"]),
            (
                "process-exec-interpreter",
                &["process-exec-interpreter", "process-exec*", "process-exec", "process*", "default"],
            ),
            ("network-bind", &["network-bind", "network*", "default"]),
            ("signal", &["signal", "default"]),
            ("default", &["default"]),
        ];
        for (name, expect) in cases {
            assert_eq!(chain(name), expect, "{name}");
            assert!(is_known(name), "{name}");
        }
        for name in ["", "file", "File-read*", "frobnicate", "file-read data", "*"] {
            assert!(!is_known(name), "{name:?}");
        }
    }
}
