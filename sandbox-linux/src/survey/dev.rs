//! `/dev` where nothing can be mounted: the host's own stays where it is, and is closed but for what rules name, as a `/dev` of the sandbox's
//! own holds nothing else. Called by the compiler and `Survey::list_siblings`, through `Survey::filesystem`.

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Filesystem, Origin, PathRule};

/// Names that programs expect in `/dev`, and where they lead.
pub(crate) const LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// `/dev` and its links.
pub(super) fn places() -> impl Iterator<Item = AbsPath> {
    let names = std::iter::once("/dev").chain(LINKS.into_iter().map(|(at, _)| at));
    names.filter_map(|name| AbsPath::parse(name).ok())
}

/// What closes `/dev` and leaves its links, unless a rule names the directory itself.
pub(super) fn rules(filesystem: &Filesystem) -> Vec<PathRule> {
    let rule = |path: AbsPath, access| PathRule {
        path,
        access,
        origin: Origin::implied("of the host's `/dev` a command has what rules name"),
        via: None,
        overruled: Vec::new(),
    };
    let mut places = places();
    let dev = places
        .next()
        .filter(|dev| filesystem.rule_at(dev).is_none() && filesystem.access(dev) > Access::None);
    let Some(dev) = dev else { return Vec::new() };
    let links = places.filter(|link| filesystem.rule_at(link).is_none());
    let links = links.map(|link| rule(link, Access::Read));
    std::iter::once(rule(dev, Access::None)).chain(links).collect()
}
