//! A tree in which very many files are closed.

use weir_tests::sandbox::{Run, Way, World};

use crate::inside::RULES;

/// Files that a pattern closes.
const MATCHES: usize = 10_000;

/// Counts what it can read of them, by the names that it is told.
const COUNT: &str = "n=0; for file in many/*.env; do if read line <$file; then n=$((n+1)); fi; done 2>/dev/null; echo $n; cat many/plain";

fn count(run: &Run) -> (usize, bool) {
    let text = run.text();
    let mut lines = text.lines();
    (lines.next().and_then(|number| number.parse().ok()).unwrap_or(usize::MAX), lines.next() == Some("plain"))
}

#[test]
fn each_of_ten_thousand_matches_is_closed() {
    Way::each("live::many", |way| {
        let world = World::new(way);
        world.profile(RULES, "");
        for number in 0..MATCHES {
            world.file(format!("work/many/{number}.env"), "content\n");
        }
        world.file("work/many/plain", "plain\n");
        assert_eq!(count(&world.outside(["sh", "-c", COUNT])), (MATCHES, true), "{way:?}");
        let run = world.run(["sh", "-c", COUNT]);
        assert_eq!(count(&run), (0, true), "{way:?}: {}", run.stderr);
        // They are so many names of one rule: what is told stays bounded.
        assert!(run.stderr.lines().count() < 100, "{}", run.stderr);
    });
}
