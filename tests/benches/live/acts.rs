//! Single acts on files: microseconds of each inside, in a place where a pattern applies, and in one of the same profile where none does;
//! under a profile without a pattern, and the same where refused readings need not be told; and where the guarantee is given up.
//!
//! Init performs each opening under a profile with a pattern, wherever the file lies, because the kernel's filter sees no path. Without one it looks at
//! those that can only read, and the kernel goes on with them; or it does not see them.

use weir_tests::sandbox::{Way, World, programs};

use super::{Holder, RULES, bare, beside, head, least, row, weir, words};

/// Acts of one run.
const ACTS: usize = 20_000;
/// Runs of each kind.
const ROUNDS: usize = 7;

/// Where they happen, seen from `work`: beside what is closed at the start, for a sandbox may close its whole directory then.
const PLACE: &str = "place";

const TRIED: [(&str, &str, &str); 6] = [
    ("open", "open", "file"),
    ("open, four deep", "open", "a/b/c/d/file"),
    ("open, through a link", "open", "link"),
    ("stat", "stat", "file"),
    ("rename", "rename", "file"),
    ("create and remove", "create", "file"),
];

/// Prints the table.
pub(super) fn measure(way: Way, scale: usize) {
    let holders = holders(way);
    let names: Vec<&str> = holders.iter().map(|(holder, _)| holder.name).collect();
    let (holders, places): (Vec<Holder>, Vec<&str>) = holders.into_iter().unzip();
    head("microseconds", &names);
    let count = (ACTS / scale).to_string();
    let probe = programs().probe.display().to_string();
    for (name, act, file) in TRIED {
        let figures = least(&holders, ROUNDS, |holder| {
            let at = holders.iter().position(|one| std::ptr::eq(one, holder)).unwrap();
            let file = format!("{}/{file}", places[at]);
            let answer = holder.run(&words([&probe, "timed", &count, act, &file]));
            let nanoseconds = answer.trim().strip_prefix("ok ").expect(&answer);
            nanoseconds.parse::<f64>().unwrap() / 1e3
        });
        row(name, &figures, 2);
    }
}

/// Each with the place in which it acts, seen from `work`.
fn holders(way: Way) -> Vec<(Holder, &'static str)> {
    let [untold, given_up, live, elsewhere] = [(); 4].map(|()| filled(way));
    untold.profile_giving_up(&["untold-readings"], "\":project_roots\" = \"write\"", "");
    given_up.profile_giving_up(&["snapshot-globs"], RULES, "");
    for world in [&live, &elsewhere] {
        world.profile(RULES, "");
    }
    let mut holders = vec![
        (bare(filled(way)), PLACE),
        (weir("given up", given_up), PLACE),
        (weir("untold", untold), PLACE),
        (weir("elsewhere", elsewhere), "../other"),
        (weir("live", live), PLACE),
    ];
    holders.extend(beside::found().into_iter().map(|sandbox| (sandbox.holder(filled(way)), PLACE)));
    holders
}

/// A world with the same files in `work` and `other`.
fn filled(way: Way) -> World {
    let world = World::new(way);
    for place in ["work/place", "other"] {
        for file in ["file", "a/b/c/d/file"] {
            world.file(format!("{place}/{file}"), "content");
        }
        world.link(format!("{place}/link"), "a/b/c/d/file");
    }
    beside::closed(&world);
    world
}
