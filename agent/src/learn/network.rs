//! The hosts that were asked for.

use weir_protocol::method::network::HostQuestion;
use weir_protocol::unreached::Unreached;

/// A host on a port.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct HostUse {
    /// As a rule names it.
    pub pattern: String,
    /// How often somebody was asked about it.
    pub count: usize,
    /// Why it was not reached, where it was not.
    pub unreached: Option<String>,
}

/// The hosts that were asked about and granted, each once, in the order in which they came first.
#[must_use]
pub fn hosts(granted: &[HostQuestion], unreached: &Unreached) -> Vec<HostUse> {
    let mut out: Vec<HostUse> = Vec::new();
    for HostQuestion { host, port, .. } in granted {
        let pattern = if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        match out.iter_mut().find(|known| known.pattern == pattern) {
            Some(known) => known.count += 1,
            None => {
                let failed = unreached.hosts.iter().find(|failed| failed.host == pattern);
                let unreached = failed.map(|failed| failed.reason.clone());
                out.push(HostUse { pattern, count: 1, unreached });
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use weir_protocol::denial::Act;
    use weir_protocol::unreached::UnreachedHost;

    use super::*;

    fn question(host: &str, port: u16) -> HostQuestion {
        HostQuestion {
            id: 1,
            question: 1,
            context: None,
            host: host.to_owned(),
            port,
            rule: None,
            answer_ms: 1,
        }
    }

    #[test]
    fn each_host_is_told_once_as_a_rule_names_it() {
        let failed = UnreachedHost {
            operation: Act::Connect,
            host: "b.example:80".to_owned(),
            address: None,
            reason: "refused".to_owned(),
            count: 1,
            time: String::new(),
        };
        let unreached = Unreached { hosts: vec![failed], left_out: 0 };
        let asked = [question("a.example", 443), question("2a0f::1", 22), question("a.example", 443)];
        let asked = [&asked[..], &[question("b.example", 80)]].concat();
        let told = hosts(&asked, &unreached);
        let told: Vec<_> =
            told.iter().map(|host| (host.pattern.as_str(), host.count, host.unreached.is_some())).collect();
        assert_eq!(
            told,
            [("a.example:443", 2, false), ("[2a0f::1]:22", 1, false), ("b.example:80", 1, true)]
        );
        for (pattern, ..) in told {
            assert!(weir_protocol::policy::DomainPattern::parse(pattern).is_ok(), "{pattern}");
        }
    }
}
