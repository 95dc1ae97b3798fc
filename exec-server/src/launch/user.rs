//! The user of a name or number, as the system's directory knows it.

use nix::unistd::{Group, User};

/// The user of this name or number; a number without an entry stands for itself, in the group of that number.
pub(crate) fn user(name: &str) -> Option<User> {
    if let Some(user) = User::from_name(name).ok().flatten() {
        return Some(user);
    }
    let uid: u32 = name.parse().ok()?;
    let known = User::from_uid(uid.into()).ok().flatten();
    Some(known.unwrap_or_else(|| {
        let gid = Group::from_gid(uid.into()).ok().flatten().map_or(uid.into(), |group| group.gid);
        User {
            name: uid.to_string(),
            passwd: std::ffi::CString::default(),
            uid: uid.into(),
            gid,
            gecos: std::ffi::CString::default(),
            dir: "/".into(),
            shell: "/bin/sh".into(),
            #[cfg(target_os = "macos")]
            class: std::ffi::CString::default(),
            #[cfg(target_os = "macos")]
            change: 0,
            #[cfg(target_os = "macos")]
            expire: 0,
        }
    }))
}
