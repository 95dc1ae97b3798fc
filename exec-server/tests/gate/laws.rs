//! Laws: the gate decides as the policy does, for names and for addresses.

use std::net::IpAddr;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use weir_exec_server::egress::decision::{admit, decide, may_name, resolvable};
use weir_exec_server::egress::refusal::Reason;
use weir_protocol::policy::address::AddressClass;
use weir_protocol::policy::{DomainPattern, Host, Request};

use super::world::policy;

const PATTERNS: [&str; 14] = [
    "*",
    "*:443",
    "a.example",
    "a.example:443",
    "A.Example:22",
    "*.example",
    "**.example:443",
    "b.a.example",
    "*.a.example:80",
    "10.0.0.1",
    "10.0.0.1:80",
    "8.8.8.8:443",
    "169.254.169.254",
    "bücher.example",
];

const HOSTS: [&str; 16] = [
    "a.example",
    "b.a.example",
    "example",
    "evil.test",
    "a.example.evil.test",
    "xn--bcher-kva.example",
    "8.8.8.8",
    "10.0.0.1",
    "0xa.1",
    "10.9.9.9",
    "169.254.169.254",
    "::ffff:10.0.0.1",
    "2001:db8::1",
    "fd00::1",
    "127.0.0.1",
    "localhost",
];

const RANGES: [&str; 5] = ["10.0.0.0/8", "10.0.0.0/24", "169.254.169.254/32", "0.0.0.0/0", "fd00::/8"];

const ADDRESSES: [&str; 14] = [
    "8.8.8.8",
    "2606:4700::1111",
    "10.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::a00:1",
    "10.9.9.9",
    "169.254.169.254",
    "127.0.0.1",
    "::1",
    "0.0.0.0",
    "100.64.0.1",
    "fd00::1",
    "198.18.0.1",
];

/// Some that rules name and some that none does.
const PORTS: [u16; 5] = [443, 80, 22, 1, 65535];

fn domains() -> impl Strategy<Value = Vec<(&'static str, bool)>> {
    prop::collection::vec((select(&PATTERNS[..]), any::<bool>()), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_gate_decides_as_the_policy_does(domains in domains(), private in subsequence(&RANGES[..], 0..=5)) {
        let policy = policy(&domains, &private);
        for host in HOSTS.map(|host| Host::parse(host).unwrap()) {
            for port in PORTS {
                let verdict = policy.verdict(&Request::Connect { host: &host, port });
                let decided = decide(&policy, &host, port);
                // The sandbox's own loopback is not the gate's to reach, whatever is granted inside.
                let expect = verdict.allowed && !host.is_loopback();
                prop_assert_eq!(decided.is_ok(), expect, "{} {}", &host, port);
                if let Err(refusal) = decided {
                    prop_assert!(host.is_loopback() || refusal.origin.as_deref() == verdict.rule.origin());
                }
            }
            let named = domains.iter().filter_map(|(pattern, _)| DomainPattern::parse(pattern).unwrap().port);
            let allowed = |port| policy.verdict(&Request::Connect { host: &host, port }).allowed;
            let anywhere = named.chain(PORTS).any(allowed);
            prop_assert_eq!(resolvable(&policy, &host).is_ok(), anywhere, "{}", &host);
        }
    }

    #[test]
    fn a_name_leads_to_public_addresses_and_what_is_opened_alone(
        private in subsequence(&RANGES[..], 0..=5), own in any::<bool>()
    ) {
        let policy = policy(&[("a.example", true)], &private);
        let grant = decide(&policy, &Host::parse("a.example").unwrap(), 443).unwrap();
        for address in ADDRESSES {
            let address: IpAddr = address.parse().unwrap();
            let opened = policy.network().covers_private(address.to_canonical());
            let public = AddressClass::of(address) == AddressClass::Public;
            let admitted = admit(&policy, &grant, address, |_| own);
            prop_assert_eq!(admitted.is_ok(), opened || public && !own, "{}", address);
            match admitted {
                Ok(place) => prop_assert_eq!((place.ip(), place.port()), (address.to_canonical(), 443)),
                Err(Reason::OwnAddress(_)) => prop_assert!(public && own),
                Err(reason) => prop_assert!(matches!(reason, Reason::LeadsTo { .. }), "{:?}", reason),
            }
        }
    }

    #[test]
    fn a_name_may_be_said_to_itself_and_behind_an_address_if_it_could_be_reached(domains in domains()) {
        let policy = policy(&domains, &["10.0.0.0/8"]);
        let hosts = HOSTS.map(|host| Host::parse(host).unwrap());
        for granted in &hosts {
            let Ok(grant) = decide(&policy, granted, 443) else { continue };
            for named in &hosts {
                let may = may_name(&policy, &grant, named);
                match (granted, named) {
                    _ if granted == named => prop_assert!(may),
                    (Host::Name(_), _) | (_, Host::Address(_)) => prop_assert!(!may),
                    _ if policy.verdict(&Request::Connect { host: named, port: 443 }).allowed => prop_assert!(may),
                    _ => {
                        let denied = policy.network().denials().any(|rule| rule.pattern.matches(named, 443));
                        prop_assert!(!may || !denied, "{} behind {}", named, granted);
                    }
                }
            }
        }
    }
}
