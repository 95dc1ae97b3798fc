//! Packages from the registries that this machine is set up with, in limited mode: npm and pip as they are, under a profile that allows the
//! registries' hosts and nothing else. The hosts are asked for at run time and are named nowhere.

use std::net::IpAddr;

use serde_json::Value;
use weir_protocol::policy::address::AddressClass;
use weir_tests::sandbox::{Run, Way, World};

use super::programs::allow;

/// Small packages without dependencies.
const NPM_PACKAGE: &str = "is-number@7.0.0";
const PIP_PACKAGE: &str = "six==1.16.0";

/// The host of a URL.
fn host(url: &str) -> Option<String> {
    let rest = url.trim().split_once("://")?.1;
    let authority = rest.split('/').next()?;
    Some(authority.rsplit('@').next()?.split(':').next()?.to_owned()).filter(|host| !host.is_empty())
}

/// What a program prints outside, where it succeeds.
fn told(world: &World, words: &[&str]) -> Option<String> {
    let run = world.outside(words);
    (run.code == 0).then(|| String::from_utf8_lossy(&run.stdout).trim().to_owned())
}

/// Where npm looks, and where the package lies.
fn npm_hosts(world: &World) -> Option<Vec<String>> {
    let registry = told(world, &["npm", "config", "get", "registry"])?;
    let tarball = told(world, &["npm", "view", NPM_PACKAGE, "dist.tarball"])?;
    [registry, tarball].iter().map(|url| host(url)).collect()
}

/// Where pip looks, and where the package lies.
fn pip_hosts(world: &World) -> Option<Vec<String>> {
    const DEFAULT: &str = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)";
    let index = told(world, &["pip", "config", "get", "global.index-url"])
        .or_else(|| told(world, &["/usr/bin/python3", "-c", DEFAULT]))?;
    let report =
        ["install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-", PIP_PACKAGE];
    let report = told(world, &[&["pip"][..], &report].concat())?;
    let report: Value = serde_json::from_str(&report).ok()?;
    let place = report["install"][0]["download_info"]["url"].as_str()?.to_owned();
    [index, place].iter().map(|url| host(url)).collect()
}

/// A profile that allows `hosts`, and their addresses where they lie in a private network, as with a registry's mirror.
fn profile(world: &World, hosts: &[String]) {
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let addresses = hosts.iter().filter_map(|host| told(world, &["getent", "ahosts", host]));
    let addresses: Vec<IpAddr> = addresses
        .flat_map(|lines| {
            lines.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect::<Vec<_>>()
        })
        .collect();
    let private = addresses.iter().filter(|address| AddressClass::of(**address) != AddressClass::Public);
    let mut private: Vec<String> = private.map(|address| format!("\"{address}\"")).collect();
    private.sort();
    private.dedup();
    let network = format!(
        "[permissions.test.network]\nenabled = true\nmode = \"limited\"\n{}\nallow_private = [{}]",
        allow(&names),
        private.join(", ")
    );
    world.profile("\"{w}/work\" = \"write\"", &network);
}

/// Installs with the hosts allowed, and is refused without them, with a report that names one.
fn installs(test_id: &str, hosts: impl Fn(&World) -> Option<Vec<String>>, words: &[&str], made: &str) {
    Way::each_of(&[Way::Root, Way::User], &format!("gate::{test_id}"), |way| {
        let world = World::new(way);
        let Some(hosts) = hosts(&world) else {
            return weir_tests::skip(&format!("gate::{test_id}"), "the registry cannot be asked from here");
        };
        profile(&world, &["unrelated.example".to_owned()]);
        let refused: Run = world.run(words);
        assert_ne!(refused.code, 0);
        assert!(!world.at("work").join(made).exists());
        let told = refused.stderr.lines().filter(|line| line.starts_with("weir: ")).collect::<Vec<_>>();
        assert!(told.iter().any(|line| line.contains(&hosts[0])), "{told:?}: {}", refused.stderr);
        profile(&world, &hosts);
        let run = world.run(words);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(world.at("work").join(made).exists(), "{}", run.stderr);
    });
}

#[test]
fn npm_installs_with_its_registry_alone() {
    let words = ["npm", "install", "--no-audit", "--no-fund", "--fetch-retries=0", NPM_PACKAGE];
    installs("npm", npm_hosts, &words, "node_modules/is-number/package.json");
}

#[test]
fn pip_installs_with_its_index_alone() {
    let words = ["pip", "install", "--no-deps", "--retries", "0", "--target", "packages", PIP_PACKAGE];
    installs("pip", pip_hosts, &words, "packages/six.py");
}
