//! Calls that the sandbox's first process performs for a caller: as the caller would, and where it was judged.

use weir_tests::sandbox::{Way, World, act, finish};

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

/// Unix sockets can be made where one of the host's may be reached.
const SOCKETS: &str = "[permissions.test.network]\nunix_sockets = [\"/run/nothing\"]";

/// Where a path starts is asked once: a thread that changes the working directory meanwhile brings no socket elsewhere.
#[test]
fn a_socket_is_bound_where_it_was_judged() {
    Way::each("containment::bind_judged", |way| {
        let world = World::new(way);
        let rules = "\":root\" = \"read\"\n\"{w}/work\" = \"write\"\n\"{w}/work/readable\" = \"read\"";
        world.profile(rules, SOCKETS);
        let places = || {
            world.clear();
            [world.directory("work/open"), world.directory("work/readable")]
        };
        let words = |places: [std::path::PathBuf; 2]| {
            let [open, readable] = places.map(std::path::PathBuf::into_os_string);
            world.probe_words(&[act(["unix-listen-astray".into(), open, readable])])
        };
        let outside = world.outside(words(places())).text();
        assert_eq!(outside, "ok true true");
        assert_eq!(world.run(words(places())).text(), "ok true false", "{way:?}");
    });
}

/// A name that programs get back from the kernel and give to others, or remove, is the one that they have given.
#[test]
fn a_socket_keeps_the_name_that_it_was_given() {
    const SCRIPT: &str = r"
import os, socket, sys
def bound(path):
    made = socket.socket(socket.AF_UNIX)
    made.bind(path)
    return made.getsockname()
os.mkdir('dir')
os.symlink('dir', 'link')
for path in ('here', 'dir/below', 'link/through', os.path.abspath('link/whole'), './dir/../dotted'):
    print(bound(path) == path, os.path.exists(path))
descriptor = os.open('dir', os.O_RDONLY)
bound(f'/proc/self/fd/{descriptor}/magic')
bound('/proc/self/cwd/working')
print(os.path.exists('dir/magic'), os.path.exists('working'))
";
    Way::each("containment::bind_name", |way| {
        let world = World::new(way);
        world.profile("\":root\" = \"read\"\n\"{w}/work\" = \"write\"", SOCKETS);
        let expect = ["True True"; 6].join("\n");
        let run = |command: &mut std::process::Command| finish(command.args(["-c", SCRIPT])).text();
        assert_eq!(run(&mut world.command("/usr/bin/python3")), expect, "{way:?}");
        world.clear();
        assert_eq!(run(world.weir::<&str>([]).arg("/usr/bin/python3")), expect, "{way:?}");
    });
}
