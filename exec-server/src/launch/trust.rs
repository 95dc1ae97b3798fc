//! What programs trust in limited mode: the host's own authorities, and the one that the server part has made for the sandbox.

use std::io::Read as _;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use weir_sandbox_linux::gate::Trust;
use weir_sandbox_linux::gate::files::KEY_STORES;

use super::passed::MAX_FILE_BYTES;
use super::{Launch, MAX_CERTIFICATE_BYTES, hostfile};
use crate::egress::authority::keystore::java_key_store;

/// The certificate is none, or more than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what inspects connections has no certificate of its own")]
pub(super) struct NoCertificate;

/// What the launch's programs trust; nothing where they see the host's own.
///
/// # Errors
/// [`NoCertificate`].
pub(super) fn of(launch: &Launch) -> Result<Option<Trust>, NoCertificate> {
    let Some(certificate) = &launch.certificate else { return Ok(None) };
    if certificate.len() > MAX_CERTIFICATE_BYTES {
        return Err(NoCertificate);
    }
    let mut found = CertificateDer::pem_slice_iter(certificate.as_bytes());
    let (Some(Ok(_)), None) = (found.next(), found.next()) else { return Err(NoCertificate) };
    let roots = roots();
    let bundle = [roots.as_slice(), b"\n", certificate.as_bytes()].concat();
    // Reading every certificate takes longer than all else here, and only a host with Java has a place for the result.
    let has_java = KEY_STORES.iter().any(|path| std::path::Path::new(path).exists());
    let key_store =
        if has_java { java_key_store(&roots, certificate, SystemTime::now()) } else { Vec::new() };
    Ok(Some(Trust { bundle: bundle.into(), key_store: key_store.into() }))
}

fn roots() -> Vec<u8> {
    let mut content = Vec::new();
    if let Some(file) = hostfile::ROOTS.iter().find_map(|path| hostfile::open(path)) {
        let _ = std::fs::File::from(file).take(MAX_FILE_BYTES).read_to_end(&mut content);
    }
    content
}
