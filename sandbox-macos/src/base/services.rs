//! Mach services that a command may look up, each with the reason.
//!
//! Left out on purpose: the pasteboard, Launch Services and Apple events (they act in the user's name outside the sandbox),
//! `SecurityServer` and `securityd` (keychains), `coreservicesd`, `windowserver`, and every service that starts programs.

use super::{Entry, entry};

/// Always.
pub const ALWAYS: [Entry; 9] = [
    entry("com.apple.system.opendirectoryd.libinfo", "getpwnam and getgrnam: names of users and groups"),
    entry("com.apple.system.opendirectoryd.membership", "getgrouplist: which groups a user is in"),
    entry("com.apple.system.DirectoryService.libinfo_v1", "the same for programs built for older systems"),
    entry("com.apple.system.DirectoryService.membership_v1", "the same for programs built for older systems"),
    entry("com.apple.system.notification_center", "the C library hears of a change of the time zone"),
    entry("com.apple.system.logger", "syslog"),
    entry("com.apple.logd", "os_log; programs wait for it at exit where it is out of reach"),
    entry("com.apple.cfprefsd.daemon", "preferences of the system"),
    entry("com.apple.cfprefsd.agent", "preferences of the user: language and number formats"),
];

/// Only where the policy grants a network.
pub const WITH_NETWORK: [Entry; 5] = [
    entry("com.apple.trustd", "verifies TLS certificates; Go and Swift programs use nothing else"),
    entry("com.apple.trustd.agent", "the same with what the user trusts"),
    entry("com.apple.SystemConfiguration.configd", "which proxy to use; answers, changes nothing"),
    entry("com.apple.SystemConfiguration.DNSConfiguration", "resolver settings; no names are resolved by it"),
    entry("com.apple.networkd", "URLSession asks for the state of the network"),
];
