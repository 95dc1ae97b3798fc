//! The certificate authority of one sandbox, which signs for the names that limited mode inspects.
//!
//! Its key exists in the memory of the server part that made it and nowhere else: it is never written, sent or shown, and ends with
//! the sandbox. The certificate is public and goes into the trust stores that the sandbox sees. Nothing outside trusts it.
//!
//! Callers: [`super::inspect`], and the launch, which takes the certificate.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use weir_protocol::policy::Host;
use zeroize::Zeroize;

pub mod keystore;

/// The name that certificate viewers show.
const COMMON_NAME: &str = "Weir, for one sandbox only";

/// How long the authority is good for: longer than any sandbox lives.
const AUTHORITY_LIFE: Duration = days(3650);

/// How long a certificate for a name is good for. Verifiers of some systems refuse more than 398 days.
const LEAF_LIFE: Duration = days(30);

/// The age at which another one is made.
const LEAF_RENEWED_AFTER: Duration = days(15);

/// How far a certificate reaches back, for clocks that are behind.
const BACKDATED: Duration = days(1);

/// Names whose certificates are kept. Another one costs two signatures.
const KEPT_LEAVES: usize = 256;

const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 60 * 60)
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A key or a certificate could not be made.
    #[error("no certificate can be made: {0}")]
    Sign(#[from] rcgen::Error),
    /// The key is of no use to TLS.
    #[error("the key cannot sign for TLS: {0}")]
    Key(#[from] rustls::Error),
}

/// A certificate authority made for one sandbox.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    leaf_key: KeyPair,
    signing: Arc<dyn SigningKey>,
    leaves: RefCell<Leaves>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// The certificates made so far, oldest first, and how many there ever were: each needs a serial number of its own.
#[derive(Default)]
struct Leaves {
    by_host: HashMap<Host, Leaf>,
    order: VecDeque<Host>,
    made: u64,
}

struct Leaf {
    key: Arc<CertifiedKey>,
    made: SystemTime,
}

impl Authority {
    /// Makes the keys (elliptic curve P-256, which every TLS client of today knows) and the authority's own certificate.
    ///
    /// # Errors
    /// [`AuthorityError`] when the system gives no random numbers.
    pub fn new() -> Result<Self, AuthorityError> {
        let mut key = KeyPair::generate()?;
        let mut params = dated(SystemTime::now(), AUTHORITY_LIFE);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // Two authorities of one name, as in a sandbox within another, would be taken for each other.
        let own = params.key_identifier(&key).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        params.distinguished_name.push(DnType::OrganizationalUnitName, own);
        let pem = params.self_signed(&key)?.pem();
        key.zeroize();
        let mut leaf_key = KeyPair::generate()?;
        let mut der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        let signing = any_supported_type(&der);
        der.zeroize();
        leaf_key.zeroize();
        let leaves = RefCell::new(Leaves::default());
        Ok(Self { issuer: Issuer::new(params, key), pem, leaf_key, signing: signing?, leaves })
    }

    /// The authority's certificate in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// Certificate and key for a server of this name or address.
    ///
    /// # Errors
    /// [`AuthorityError`] for a name that no certificate can hold.
    pub fn leaf(&self, host: &Host) -> Result<Arc<CertifiedKey>, AuthorityError> {
        self.leaf_at(host, SystemTime::now())
    }

    fn leaf_at(&self, host: &Host, now: SystemTime) -> Result<Arc<CertifiedKey>, AuthorityError> {
        let mut leaves = self.leaves.borrow_mut();
        if let Some(leaf) = leaves.by_host.get(host).filter(|leaf| is_fresh(leaf.made, now)) {
            return Ok(Arc::clone(&leaf.key));
        }
        leaves.made += 1;
        let key = Arc::new(self.sign(host, leaves.made, now)?);
        if leaves.by_host.insert(host.clone(), Leaf { key: Arc::clone(&key), made: now }).is_none() {
            leaves.order.push_back(host.clone());
        }
        if leaves.order.len() > KEPT_LEAVES
            && let Some(oldest) = leaves.order.pop_front()
        {
            leaves.by_host.remove(&oldest);
        }
        Ok(key)
    }

    fn sign(&self, host: &Host, serial: u64, now: SystemTime) -> Result<CertifiedKey, AuthorityError> {
        let mut params = dated(now, LEAF_LIFE);
        params.serial_number = Some(SerialNumber::from(serial));
        params.subject_alt_names = vec![match host {
            Host::Name(name) => SanType::DnsName(name.as_str().try_into()?),
            Host::Address(address) => SanType::IpAddress(*address),
        }];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&self.leaf_key, &self.issuer)?;
        Ok(CertifiedKey::new(vec![certificate.into()], Arc::clone(&self.signing)))
    }
}

/// Whether a certificate made then is still handed out. One from the future is not: the clock was set back.
fn is_fresh(made: SystemTime, now: SystemTime) -> bool {
    now.duration_since(made).is_ok_and(|age| age < LEAF_RENEWED_AFTER)
}

fn dated(now: SystemTime, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + life).into();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, COMMON_NAME);
    params
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use weir_protocol::policy::Host;

    use super::{Authority, KEPT_LEAVES, LEAF_RENEWED_AFTER};

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    /// Whether a client that trusts `trusted` alone accepts the certificate that `signer` makes for `made_for` as that of `asked`.
    fn accepts(trusted: &Authority, signer: &Authority, made_for: &str, asked: &str) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted.certificate_pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let leaf = signer.leaf(&host(made_for)).unwrap();
        let name = ServerName::try_from(asked.to_owned()).unwrap();
        verifier.verify_server_cert(&leaf.cert[0], &[], &name, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn a_client_that_trusts_it_accepts_the_name_and_no_other() {
        let (ours, other) = (Authority::new().unwrap(), Authority::new().unwrap());
        let cases = [
            ("registry.example.org", "registry.example.org", true),
            ("registry.example.org", "Registry.Example.org", true),
            ("registry.example.org", "example.org", false),
            ("registry.example.org", "a.registry.example.org", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("[2001:db8::1]", "2001:db8::1", true),
        ];
        for (made_for, asked, expect) in cases {
            assert_eq!(accepts(&ours, &ours, made_for, asked), expect, "{made_for} {asked}");
            assert!(!accepts(&other, &ours, made_for, asked), "{made_for} {asked}");
        }
    }

    #[test]
    fn the_longest_name_of_dns_has_a_certificate() {
        let label = "a".repeat(63);
        let long = [label.as_str(), &label, &label, &label[..61]].join(".");
        let authority = Authority::new().unwrap();
        assert!(accepts(&authority, &authority, &long, &long));
    }

    #[test]
    fn certificates_are_kept_renewed_and_bounded() {
        let authority = Authority::new().unwrap();
        let now = SystemTime::now();
        let first = authority.leaf_at(&host("a.example"), now).unwrap();
        let again = authority.leaf_at(&host("a.example"), now + LEAF_RENEWED_AFTER / 2).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let renewed = authority.leaf_at(&host("a.example"), now + LEAF_RENEWED_AFTER).unwrap();
        assert!(!Arc::ptr_eq(&first, &renewed));
        for number in 0..KEPT_LEAVES * 2 {
            authority.leaf_at(&host(&format!("h{number}.example")), now).unwrap();
            let leaves = authority.leaves.borrow();
            assert!(leaves.by_host.len() <= KEPT_LEAVES);
            assert_eq!(leaves.by_host.len(), leaves.order.len());
        }
    }

    /// As Python from 3.13 on asks for it, and other verifiers that go by the letter of RFC 5280.
    #[test]
    fn the_strictest_verifier_accepts_it() {
        let directory = tempfile::tempdir().unwrap();
        let [ours, other] = [(); 2].map(|()| Authority::new().unwrap());
        let leaf = ours.leaf(&host("a.example")).unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let leaf = file("leaf.der", &leaf.cert[0]);
        for (authority, expect) in [(&ours, true), (&other, false)] {
            let trusted = file("trusted.pem", authority.certificate_pem().as_bytes());
            let mut command = std::process::Command::new("openssl");
            command.args([
                "verify",
                "-x509_strict",
                "-purpose",
                "sslserver",
                "-verify_hostname",
                "a.example",
            ]);
            let Ok(output) = command.arg("-CAfile").arg(trusted).arg(&leaf).output() else {
                return weir_tests::skip("authority::strict", "there is no openssl");
            };
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), expect, "{told}");
        }
    }

    #[test]
    fn what_is_printed_for_debugging_holds_no_key() {
        assert_eq!(format!("{:?}", Authority::new().unwrap()), "Authority { .. }");
    }
}
