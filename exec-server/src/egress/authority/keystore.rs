//! A Java key store that holds certificates to trust: the `cacerts` that a Java program finds inside.
//!
//! The format is JKS, version 2, which every Java from 8 on reads under either name of type (`jks`, and `pkcs12` through
//! `keystore.type.compat`). It holds no secret: the password is the one that is always used for `cacerts`, and the digest at the end is
//! only checked by who gives it. Pure. Caller: the launch.

use std::time::{Duration, SystemTime};

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The password of every `cacerts` there is.
pub const PASSWORD: &str = "changeit";

const MAGIC: u32 = 0xFEED_FEED;
const VERSION: u32 = 2;
const TRUSTED_CERTIFICATE: u32 = 2;
const CERTIFICATE_TYPE: &str = "X.509";

/// What the digest covers between the password and the data.
const WHITENER: &[u8] = b"Mighty Aphrodite";

/// A store that trusts every certificate of `roots_pem`, and the one of `authority_pem` under the alias `weir`. What is no certificate
/// among the roots is left out, as every reader of such a bundle does.
#[must_use]
pub fn java_key_store(roots_pem: &[u8], authority_pem: &str, made: SystemTime) -> Vec<u8> {
    let roots = CertificateDer::pem_slice_iter(roots_pem).filter_map(Result::ok);
    let named_roots = roots.enumerate().map(|(number, root)| (format!("root-{number}"), root));
    let authority = CertificateDer::from_pem_slice(authority_pem.as_bytes()).ok();
    let entries: Vec<_> =
        named_roots.chain(authority.map(|certificate| ("weir".to_owned(), certificate))).collect();
    let made = made.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let mut store = Vec::new();
    for word in [MAGIC, VERSION, length(entries.len())] {
        store.extend_from_slice(&word.to_be_bytes());
    }
    for (alias, certificate) in &entries {
        store.extend_from_slice(&TRUSTED_CERTIFICATE.to_be_bytes());
        push_text(&mut store, alias);
        store.extend_from_slice(&u64::try_from(made.as_millis()).unwrap_or(u64::MAX).to_be_bytes());
        push_text(&mut store, CERTIFICATE_TYPE);
        store.extend_from_slice(&length(certificate.len()).to_be_bytes());
        store.extend_from_slice(certificate);
    }
    let digest = digest(&store);
    store.extend_from_slice(digest.as_ref());
    store
}

/// ASCII in Java's modified UTF-8: its length in two bytes, then itself.
fn push_text(store: &mut Vec<u8>, text: &str) {
    store.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    store.extend_from_slice(text.as_bytes());
}

fn length(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn digest(store: &[u8]) -> ring::digest::Digest {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    PASSWORD.encode_utf16().for_each(|unit| context.update(&unit.to_be_bytes()));
    context.update(WHITENER);
    context.update(store);
    context.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;
    use std::time::SystemTime;

    use weir_tests::skip;

    use super::{PASSWORD, java_key_store};
    use crate::egress::authority::Authority;

    /// What `keytool -list` of the store prints, read as a store of `kind`; `None` where there is no Java.
    fn listed(store: &[u8], kind: &str, password: &str) -> Option<(bool, String)> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cacerts");
        fs::write(&path, store).unwrap();
        let mut command = Command::new("keytool");
        command.args(["-list", "-rfc", "-storetype", kind, "-storepass", password, "-keystore"]).arg(&path);
        let output = command.output().ok()?;
        Some((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    #[test]
    fn java_reads_every_certificate_of_it() {
        let (root, ours) = (Authority::new().unwrap(), Authority::new().unwrap());
        let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        let roots = format!("# a comment\n{}{broken}{}", root.certificate_pem(), root.certificate_pem());
        let store = java_key_store(roots.as_bytes(), ours.certificate_pem(), SystemTime::now());
        for kind in ["jks", "pkcs12"] {
            let Some((read, text)) = listed(&store, kind, PASSWORD) else {
                return skip("keystore::java", "there is no keytool");
            };
            assert!(read, "{kind}: {text}");
            let text = text.replace('\r', "");
            assert!(text.contains("Your keystore contains 3 entries"), "{text}");
            assert!(text.contains("Alias name: weir\n"), "{text}");
            for authority in [&root, &ours] {
                assert!(flat(&text).contains(&flat(authority.certificate_pem())), "{text}");
            }
        }
    }

    #[test]
    fn java_notices_a_changed_byte_and_a_wrong_password() {
        let ours = Authority::new().unwrap();
        let store = java_key_store(b"", ours.certificate_pem(), SystemTime::now());
        let mut changed = store.clone();
        changed[20] ^= 1;
        for (store, password, expect) in
            [(&store, PASSWORD, true), (&changed, PASSWORD, false), (&store, "changed", false)]
        {
            let Some((read, text)) = listed(store, "jks", password) else {
                return skip("keystore::java", "there is no keytool");
            };
            assert_eq!(read, expect, "{text}");
        }
    }

    /// Without line ends, which the two writers of PEM put at different places.
    fn flat(pem: &str) -> String {
        pem.chars().filter(|character| !character.is_whitespace()).collect()
    }
}
