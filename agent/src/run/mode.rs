//! What modes new files of this process have, for commands that another process starts.

/// Permission bits that new files of this process do not have (umask(2)); unknown where nothing tells without changing them.
pub(crate) fn umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(mask.trim(), 8).ok()
}
