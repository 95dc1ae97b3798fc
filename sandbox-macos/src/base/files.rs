//! Files that programs of macOS need to start, whatever the policy says of the rest.
//!
//! An entry yields to the policy: where a rule of the policy stands for the same path, or denies a directory above it other
//! than `/`, the entry is dropped. Paths are canonical (`/private/etc`, not `/etc`).

use weir_protocol::policy::Access;

use super::{Entry, entry};

/// Readable with everything below.
pub const READABLE: [Entry; 40] = [
    entry("/bin", "sh and the core utilities"),
    entry("/sbin", "mount, ping and other utilities that scripts call"),
    entry("/usr/bin", "the system's programs"),
    entry("/usr/sbin", "the system's programs"),
    entry("/usr/lib", "libraries and the dynamic loader"),
    entry("/usr/libexec", "programs that the system's programs start, path_helper among them"),
    entry("/usr/share", "time zones, terminal descriptions, ICU data"),
    entry("/System/Library", "frameworks and the shared cache of the dynamic loader"),
    entry("/System/iOSSupport", "frameworks that some of the system's libraries link to"),
    entry("/System/Cryptexes", "the shared cache since macOS 13"),
    entry("/System/Volumes/Preboot/Cryptexes", "where /System/Cryptexes leads"),
    entry("/Library/Apple", "Rosetta, for programs built for Intel"),
    entry("/Library/Developer/CommandLineTools", "git, clang and make, to which /usr/bin leads"),
    entry("/Applications/Xcode.app/Contents/Developer", "the same where Xcode is installed"),
    entry("/Library/Preferences/.GlobalPreferences.plist", "language and number formats"),
    entry(
        "/Library/Preferences/com.apple.dt.Xcode.plist",
        "which developer tools are chosen, and their licence",
    ),
    entry("/private/etc/hosts", "the resolver of the C library"),
    entry("/private/etc/resolv.conf", "the resolver of the C library and of Go"),
    entry("/private/var/run/resolv.conf", "where resolv.conf leads"),
    entry("/private/etc/services", "names of ports"),
    entry("/private/etc/protocols", "names of protocols"),
    entry("/private/etc/passwd", "names of users; holds no passwords on macOS"),
    entry("/private/etc/group", "names of groups"),
    entry("/private/etc/shells", "which shells there are"),
    entry("/private/etc/localtime", "the time zone"),
    entry("/private/etc/ssl", "certificates of LibreSSL and of programs that look there"),
    entry("/private/etc/paths", "path_helper, which login shells run"),
    entry("/private/etc/paths.d", "path_helper, which login shells run"),
    entry("/private/etc/profile", "start-up of sh and bash"),
    entry("/private/etc/bashrc", "start-up of bash"),
    entry("/private/etc/zshenv", "start-up of zsh"),
    entry("/private/etc/zprofile", "start-up of zsh"),
    entry("/private/etc/zshrc", "start-up of zsh"),
    entry("/private/etc/gitconfig", "git's configuration of the whole system"),
    entry("/private/var/db/timezone", "where localtime leads"),
    entry("/private/var/db/dyld", "the shared cache before macOS 13"),
    entry("/private/var/db/xcode_select_link", "which developer tools are chosen"),
    entry("/private/var/select", "which shell /bin/sh is"),
    entry("/dev/autofs_nowait", "opened by the C library at start, to keep automounts away"),
    entry("/dev/fd", "descriptors that the process already has"),
];

/// Readable and writable.
pub const WRITABLE: [Entry; 8] = [
    entry("/dev/null", "every shell script"),
    entry("/dev/zero", "anonymous memory of old programs"),
    entry("/dev/random", "random numbers"),
    entry("/dev/urandom", "random numbers"),
    entry("/dev/tty", "the command's own terminal, which is none where it has none"),
    entry("/dev/stdout", "a symbolic link to an open descriptor"),
    entry("/dev/stderr", "a symbolic link to an open descriptor"),
    entry("/dev/dtracehelper", "the dynamic loader announces probes"),
];

/// Closed wherever no rule of the policy stands for the same path: other names of places that the policy speaks of.
pub const CLOSED: [Entry; 2] = [
    entry("/System/Volumes/Data", "every file of the data volume once more, under another name"),
    entry("/.vol", "every file once more, by number"),
];

/// The root directory itself, without what is in it.
pub const ROOT: Entry =
    entry("/", "the dynamic loader and getcwd open the root directory; its names are no secret");

/// `:secrets` of the system on macOS, canonical. For a resolver; the compiler does not add them by itself.
pub const SYSTEM_SECRETS: [Entry; 6] = [
    entry("/private/etc/master.passwd", "passwords of the old kind"),
    entry("/private/var/db/dslocal", "hashes of the users' passwords"),
    entry("/Library/Keychains", "the system's keychain"),
    entry("/private/var/root", "the home directory of root"),
    entry("/private/etc/kcpassword", "the password for automatic login"),
    entry("/private/etc/krb5.keytab", "keys of Kerberos"),
];

/// `:secrets` below a home directory on macOS, beside those of every system. For a resolver.
pub const HOME_SECRETS: [Entry; 16] = [
    entry("Library/Keychains", "the user's keychains"),
    entry("Library/Cookies", "cookies of Safari and of programs"),
    entry("Library/Safari", "history and passwords of Safari"),
    entry("Library/Containers/com.apple.Safari", "the same since macOS 10.14"),
    entry("Library/Messages", "messages"),
    entry("Library/Mail", "mail"),
    entry("Library/Accounts", "accounts and their tokens"),
    entry("Library/Application Support/com.apple.TCC", "what programs may do in the user's name"),
    entry("Library/Application Support/Google/Chrome", "cookies and passwords"),
    entry("Library/Application Support/Chromium", "cookies and passwords"),
    entry("Library/Application Support/BraveSoftware", "cookies and passwords"),
    entry("Library/Application Support/Microsoft Edge", "cookies and passwords"),
    entry("Library/Application Support/Firefox", "cookies and passwords"),
    entry("Library/Application Support/1Password", "passwords"),
    entry("Library/Group Containers/2BUA8C4S2C.com.1password", "passwords and the socket of the ssh agent"),
    entry("Library/Application Support/Bitwarden", "passwords"),
];

/// The three lists as rules: path, access, reason.
pub fn rules() -> impl Iterator<Item = (Entry, Access)> {
    let read = READABLE.into_iter().map(|entry| (entry, Access::Read));
    let write = WRITABLE.into_iter().map(|entry| (entry, Access::Write));
    let none = CLOSED.into_iter().map(|entry| (entry, Access::None));
    read.chain(write).chain(none)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_protocol::AbsPath;

    #[test]
    fn every_entry_is_a_canonical_path_with_a_reason_of_one_line() {
        let mut seen = std::collections::BTreeSet::new();
        for (entry, _) in rules() {
            let path = AbsPath::parse(entry.name).unwrap();
            assert_eq!(crate::compile::canonical(&path), path, "{entry:?}");
            assert!(!entry.reason.is_empty() && !entry.reason.contains('\n'), "{entry:?}");
            assert!(seen.insert(entry.name), "{entry:?} stands twice");
        }
    }

    #[test]
    fn no_grant_lies_above_a_secret() {
        for secret in SYSTEM_SECRETS {
            let secret = AbsPath::parse(secret.name).unwrap();
            for (entry, access) in rules() {
                let granted = AbsPath::parse(entry.name).unwrap();
                assert!(access == Access::None || !secret.starts_with(&granted), "{entry:?} holds {secret}");
            }
        }
        assert!(HOME_SECRETS.iter().all(|entry| !entry.name.starts_with('/')));
    }
}
