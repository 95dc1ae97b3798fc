//! What the special paths stand for. Lists as data; relative entries are below the home directory.

use weir_protocol::policy::Access;

/// `:minimal`, readable: what a program needs to start.
pub const MINIMAL_READ: [&str; 20] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/nix/store", "/gnu/store",
    "/run/current-system", "/proc", "/sys/devices/system/cpu", "/sys/devices/system/node",
    "/sys/kernel/mm/transparent_hugepage", "/run/systemd/resolve", "/run/resolvconf", "/var/lib/ca-certificates",
    "/var/cache/fontconfig", "/dev/fd",
];

/// `:minimal`, writable: the core devices.
pub const MINIMAL_WRITE: [&str; 8] = [
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts",
];

/// Secrets of the system, closed inside `:minimal` and part of `:secrets`.
pub const SYSTEM_SECRETS: [&str; 27] = [
    "/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/sudoers.d",
    "/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_ecdsa_key", "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_dsa_key", "/etc/ssl/private", "/etc/pki/tls/private", "/etc/pki/entitlement",
    "/etc/krb5.keytab", "/etc/crypttab", "/etc/NetworkManager/system-connections", "/etc/wireguard",
    "/etc/openvpn", "/etc/ppp", "/etc/letsencrypt", "/etc/kubernetes", "/etc/rancher", "/etc/docker",
    "/etc/apt/auth.conf", "/etc/apt/auth.conf.d", "/etc/security/opasswd", "/var/lib/kubelet",
];

/// `:secrets` below a home directory.
pub const HOME_SECRETS: [&str; 74] = [
    ".ssh", ".gnupg", ".password-store", ".pki", ".aws", ".azure", ".config/gcloud", ".config/doctl", ".oci",
    ".config/hcloud", ".config/linode-cli", ".config/fly", ".fly", ".config/heroku", ".netrc", "_netrc", ".authinfo",
    ".authinfo.gpg", ".git-credentials", ".config/git/credentials", ".config/gh", ".config/glab-cli", ".config/hub",
    ".npmrc", ".yarnrc.yml", ".pypirc", ".config/pip", ".pip", ".cargo/credentials", ".cargo/credentials.toml",
    ".gem/credentials", ".m2/settings.xml", ".m2/settings-security.xml", ".gradle/gradle.properties",
    ".nuget/NuGet", ".composer/auth.json", ".config/composer/auth.json", ".docker", ".config/containers/auth.json",
    ".kube", ".config/helm", ".terraform.d/credentials.tfrc.json", ".terraformrc", ".vault-token", ".config/op",
    ".config/Bitwarden", ".config/keepassxc", ".local/share/keyrings", ".local/share/kwalletd", ".mozilla",
    ".thunderbird", ".config/google-chrome", ".config/chromium", ".config/BraveSoftware", ".config/microsoft-edge",
    ".config/vivaldi", ".config/opera", ".bash_history", ".zsh_history", ".zhistory", ".local/share/fish/fish_history",
    ".python_history", ".node_repl_history", ".psql_history", ".mysql_history", ".sqlite_history", ".rediscli_history",
    ".lesshst", ".viminfo", ".pgpass", ".my.cnf", ".codex/auth.json", ".claude/.credentials.json", ".claude.json",
];

/// `:toolchains` below the home directory, where they exist.
pub const HOME_TOOLCHAINS: [&str; 22] = [
    ".rustup", ".cargo/bin", ".cargo/registry", ".cargo/git", ".nvm", ".volta", ".fnm", ".local/share/fnm", ".bun",
    ".deno", ".pyenv", ".rye", ".local/share/uv", ".asdf", ".local/share/mise", ".local/bin", ".local/lib", ".sdkman",
    ".rbenv", ".goenv", "go", ".ghcup",
];

/// Toolchains outside the home directory, where they exist.
pub const SYSTEM_TOOLCHAINS: [&str; 4] = ["/opt", "/usr/local", "/home/linuxbrew/.linuxbrew", "/snap"];

/// `:minimal` as rules: path and access.
pub fn minimal() -> impl Iterator<Item = (&'static str, Access)> {
    let read = MINIMAL_READ.into_iter().map(|path| (path, Access::Read));
    let write = MINIMAL_WRITE.into_iter().map(|path| (path, Access::Write));
    let none = SYSTEM_SECRETS.into_iter().map(|path| (path, Access::None));
    read.chain(write).chain(none)
}
