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
    Config: default_permissions permissions sandbox_mode sandbox_workspace_write projects;
    Profile: description extends workspace_roots filesystem network resources environment protected kernel degrade;
    KernelTable: nested_user_namespaces io_uring;
    WorkspaceWrite: writable_roots network_access exclude_tmpdir_env_var exclude_slash_tmp;
    EnvironmentTable: inherit allow deny set;
    DomainEntry: pattern allow;
    NetworkTable: enabled mode domains unix_sockets loopback allow_private allow_upstream_proxy allow_local_binding dangerously_allow_all_unix_sockets proxy_url enable_socks5 socks_url enable_socks5_udp dangerously_allow_non_loopback_proxy;
    Requirements: default_permissions permissions ceiling;
    CeilingTable: profiles filesystem network resources deny who;
    DenyTable: read domains;
    WhoTable: users groups profiles;
    ResourcesTable: memory processes cpu open_files file_size wall_time output;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_schemas() {
        for (table, stated, mut schema) in all() {
            let mut stated: Vec<String> = stated.iter().map(|key| (*key).to_owned()).collect();
            stated.sort();
            schema.sort();
            assert_eq!(stated, schema, "{table}");
        }
    }
}
