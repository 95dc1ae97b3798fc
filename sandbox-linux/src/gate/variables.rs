//! Variables of the environment behind the gate: where certificates are, and no proxy that could not be reached, but the gate's own. Pure.

use weir_protocol::AbsPath;
use weir_protocol::policy::Environment;

use super::Proxies;

/// Variables that name a file of certificates to trust, in place of what the program brings along or as well: OpenSSL and what is built
/// on it, curl, git, Python, Node, Cargo, Deno, gRPC, cloud tools.
const TRUST: [&str; 14] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "NPM_CONFIG_CAFILE",
    "CARGO_HTTP_CAINFO",
    "DENO_CERT",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "AWS_CA_BUNDLE",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "HEX_CACERTS_PATH",
    "NIX_SSL_CERT_FILE",
];

/// Variables that name a proxy of the caller's network, in small letters.
const PROXIES: [&str; 6] = ["http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy", "rsync_proxy"];

/// Adapts a command's environment; what the profile sets stays. `bundle` is the file of certificates, in limited mode.
pub fn adapt(
    env: &mut Vec<(Vec<u8>, Vec<u8>)>,
    profile: &Environment,
    bundle: Option<&AbsPath>,
    proxies: Option<Proxies>,
) {
    let is_set = |name: &[u8]| profile.set.keys().any(|set| set.as_bytes() == name);
    env.retain(|(name, _)| !names_proxy(name) || is_set(name));
    for (name, value) in proxies.into_iter().flat_map(named).filter(|(name, _)| !is_set(name.as_bytes())) {
        env.push((name.into_bytes(), value.into_bytes()));
    }
    let Some(bundle) = bundle else { return };
    for name in TRUST.into_iter().map(str::as_bytes).filter(|name| !is_set(name)) {
        env.retain(|(other, _)| other != name);
        env.push((name.to_vec(), bundle.as_bytes().to_vec()));
    }
}

/// Whether a variable names a proxy of the caller's network.
pub(crate) fn names_proxy(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    PROXIES.iter().any(|proxy| proxy.as_bytes() == lower)
}

/// The variables by which programs find these proxies, in small letters and in capitals: which of them is read differs (curl(1)).
fn named(Proxies { http, socks }: Proxies) -> impl Iterator<Item = (String, String)> {
    let [http, socks] = [format!("http://127.0.0.1:{http}"), format!("socks5h://127.0.0.1:{socks}")];
    let all = [("http_proxy", http.clone()), ("https_proxy", http), ("all_proxy", socks)];
    all.into_iter()
        .flat_map(|(name, value)| [(name.to_owned(), value.clone()), (name.to_ascii_uppercase(), value)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_protocol::policy::{Origin, Sourced};

    fn adapted(env: &[(&str, &str)], set: &[(&str, &str)], bundle: Option<&str>) -> Vec<(String, String)> {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let mut env: Vec<_> = env.iter().map(|(name, value)| (bytes(name), bytes(value))).collect();
        let mut profile = Environment::default();
        for (name, value) in set {
            let value = Sourced { value: (*value).to_owned(), origin: Origin::implied("a test") };
            profile.set.insert((*name).to_owned(), value);
        }
        let bundle = bundle.map(|path| AbsPath::parse(path).unwrap());
        adapt(&mut env, &profile, bundle.as_ref(), None);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        env.iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn no_proxy_of_the_caller_is_left_but_one_that_the_profile_sets() {
        let env = [("HTTPS_PROXY", "a"), ("http_proxy", "b"), ("No_Proxy", "c"), ("PATH", "d")];
        let path = ("PATH".to_owned(), "d".to_owned());
        assert_eq!(adapted(&env, &[], None), std::slice::from_ref(&path));
        let kept = ("http_proxy".to_owned(), "b".to_owned());
        assert_eq!(adapted(&env, &[("http_proxy", "b")], None), [kept, path]);
    }

    #[test]
    fn certificates_are_where_the_bundle_is_unless_the_profile_says_otherwise() {
        let env = [("SSL_CERT_FILE", "/mine"), ("PIP_CERT", "/theirs")];
        let found = adapted(&env, &[("PIP_CERT", "/theirs")], Some("/etc/ssl/cert.pem"));
        assert_eq!(found.len(), TRUST.len());
        for (name, value) in found {
            let expect = if name == "PIP_CERT" { "/theirs" } else { "/etc/ssl/cert.pem" };
            assert_eq!(value, expect, "{name}");
        }
    }
}
