//! Calls that the sandbox's first process performs for a caller: as the caller would.

use weir_tests::sandbox::{Way, World};

/// Lengthens and shortens files, and says what came of it and whether a signal came.
const TRUNCATE: &str = r"
import os, resource, signal, sys
signals = []
signal.signal(signal.SIGXFSZ, lambda number, frame: signals.append(number))
if sys.argv[1] == 'limited':
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
def attempt(name, length):
    try:
        os.truncate(name, length)
        told = 'done'
    except OSError as error:
        told = str(error.errno)
    print(told, os.stat(name).st_size, len(signals))
attempt('new', 1 << 20)
attempt('new', (1 << 20) + 1)
attempt('large', 2 << 20)
attempt('large', 3 << 20)
";

#[test]
fn a_file_is_not_made_longer_than_its_caller_may() {
    Way::each("containment::file_size", |way| {
        let world = World::new(way);
        world.profile(
            "\":root\" = \"read\"\n\"{w}/work\" = \"write\"",
            "[permissions.test.resources]\nfile_size = \"1MiB\"",
        );
        let script = world.file("truncate.py", TRUNCATE);
        let words = |how| ["/usr/bin/python3".into(), script.clone().into_os_string(), how];
        let prepare = || {
            world.file("work/new", "");
            world.file("work/large", "x".repeat(3 << 20));
        };
        let expect = "done 1048576 0\n27 1048576 1\ndone 2097152 1\n27 2097152 2";
        prepare();
        assert_eq!(world.outside(words("limited".into())).text(), expect, "{way:?}");
        prepare();
        assert_eq!(world.run(words("by-weir".into())).text(), expect, "{way:?}");
        prepare();
        world.profile("\":root\" = \"read\"\n\"{w}/work\" = \"write\"", "");
        let without = "done 1048576 0\ndone 1048577 0\ndone 2097152 0\ndone 3145728 0";
        assert_eq!(world.run(words("by-weir".into())).text(), without, "{way:?}");
    });
}
