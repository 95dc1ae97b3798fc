//! Whatever ends a run ends its own tree, and nothing else of the same user.
//!
//! Once a time-out under the profile that confines nothing sent its signal to every process of the user. So that a regression
//! can hit nobody, everything here runs in a PID namespace made for it, whose first process is the script; the script ends at
//! once where it is not.

use std::path::Path;
use std::process::{Command, Stdio};

use weir_tests::sandbox::{Way, World, finish, programs, way::is_root};
use weir_tests::skip;

/// Of the number that `$$` is in a namespace of its own, and of no other.
const SCRIPT: &str = r#"[ $$ = 1 ] || exit 99
mkfifo hold never
cat hold >seen &
bystander=$!
case $1 in
everyone) kill -TERM -1 ;;
*)
    "$2" run --quiet --profile "$1" --timeout 500ms -- sh -c "$3"'
        setsid cat never &
        sh -c "trap \"\" TERM; cat never; cat never" &
        cat never &
        echo started >started
        wait' 2>message
    echo "code $?"
    ;;
esac
[ -e started ] && echo started
grep -l '[n]ever' /proc/[0-9]*/cmdline >/dev/null 2>&1 && echo 'something is left'
exec 3<>hold
echo on >&3
exec 3>&-
wait $bystander
echo "bystander $?: $(cat seen)"
"#;

/// The script in a PID namespace, as the way's user.
fn enclosed(world: &World, script: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    if !is_root() {
        command.arg("--map-current-user");
    }
    command.arg("--");
    if let Some(user) = world.way().user() {
        let user = user.to_string();
        command.args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]);
    }
    if world.way() == Way::Bare {
        command.arg(&programs().probe).arg("refuse-user-namespaces");
    }
    command.arg("sh").arg(script).args(arguments).env_clear();
    let surroundings = world.command("sh");
    command.envs(surroundings.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(world.at("work")).stdin(Stdio::null());
    command
}

/// What the script says.
fn said(way: Way, run: &str, first: &str) -> Option<String> {
    let world = World::new(way);
    world.profile("\"{w}/work\" = \"write\"", "");
    let probe = world.file("probe.sh", "[ $$ = 1 ]");
    if finish(&mut enclosed(&world, &probe, &[])).code != 0 {
        return None;
    }
    let script = world.file("script.sh", SCRIPT);
    let weir = programs().weir.to_string_lossy().into_owned();
    let found = finish(&mut enclosed(&world, &script, &[run, &weir, first]));
    let message = std::fs::read_to_string(world.at("work/message")).unwrap_or_default();
    assert_eq!(found.code, 0, "{way:?}, {run}: {found:?}; {message}");
    Some(String::from_utf8_lossy(&found.stdout).into_owned())
}

#[test]
fn a_time_out_ends_its_own_tree_only() {
    Way::each("life::bystander", |way| {
        // Who is signalled with all others does not live on, here as anywhere.
        let Some(control) = said(way, "everyone", "") else {
            return skip("life::enclosed", "no PID namespace can be made around a test here");
        };
        assert_eq!(control, "bystander 143: \n", "{way:?}");
        // Asked to end, and ended where that is not heeded.
        let runs = [(":danger-full-access", ""), (":danger-full-access", "trap '' TERM;"), ("test", "")];
        for (profile, first) in runs {
            let found = said(way, profile, first);
            assert_eq!(found.as_deref(), Some("code 124\nstarted\nbystander 0: on\n"), "{way:?}, {profile}");
        }
    });
}
