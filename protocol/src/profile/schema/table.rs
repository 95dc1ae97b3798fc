//! The keys of the tables that are checked for unknown ones, as constants: making a schema takes longer than reading a document.
//! A test holds them to the schemas, which remain the one place where a key is added.

use schemars::JsonSchema;

use super::*;

/// A table whose keys are all known.
pub trait Table: JsonSchema {
    /// Its keys.
    const KEYS: &'static [&'static str];
}

macro_rules! tables {
    ($($table:ident: $($key:ident)*;)*) => {
        $(impl Table for $table {
            const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];
        })*

        /// Each table with what it says of itself and what its schema says.
        #[cfg(test)]
        fn all() -> Vec<(&'static str, &'static [&'static str], Vec<String>)> {
            vec![$((stringify!($table), $table::KEYS, keys::<$table>())),*]
        }
    };
}

tables! {
    Config: default_permissions permissions projects sandbox_mode sandbox_workspace_write;
    Profile: background degrade description environment extends filesystem kernel network protected resources workspace_roots;
    KernelTable: io_uring nested_user_namespaces;
    WorkspaceWrite: exclude_slash_tmp exclude_tmpdir_env_var network_access writable_roots;
    EnvironmentTable: allow deny inherit set;
    DomainEntry: allow pattern;
    NetworkTable: allow_local_binding allow_private allow_upstream_proxy dangerously_allow_all_unix_sockets dangerously_allow_non_loopback_proxy domains enable_socks5 enable_socks5_udp enabled loopback mode proxy_url publish socks_url unix_sockets;
    Requirements: ceiling default_permissions permissions;
    CeilingTable: background deny filesystem network profiles resources who;
    DenyTable: domains read;
    WhoTable: groups profiles users;
    ResourcesTable: cpu file_size memory open_files output processes wall_time;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_schemas() {
        for (table, stated, mut schema) in all() {
            schema.sort();
            // In the order in which they are offered to a person.
            assert_eq!(stated, schema, "{table}");
        }
    }
}
