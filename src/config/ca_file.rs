//! A file with the certificates of a private authority, in PEM. It is read and checked together with the configuration.

use std::path::PathBuf;

use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::section::Section;
use crate::domain::notice::channel::CaFile;

/// Reads the setting `ca_file`.
pub(super) fn read(section: &mut Section<'_>) -> Option<CaFile> {
    let path = section.text("ca_file")?;
    load(&path).map_err(|problem| section.refuse("ca_file", problem)).ok()
}

fn load(path: &str) -> Result<CaFile, String> {
    let wanted = "it must have certificates in PEM (`-----BEGIN CERTIFICATE-----`)";
    let pem = std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}; {wanted}"))?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("{path} cannot be understood: {error}; {wanted}"))?;
    if certificates.is_empty() {
        return Err(format!("{path} has no certificate; {wanted}"));
    }
    let mut roots = RootCertStore::empty();
    for (number, certificate) in certificates.iter().enumerate() {
        let bad = |error| format!("certificate {} of {path} is not usable: {error}", number + 1);
        roots.add(certificate.clone()).map_err(bad)?;
    }
    let certificates = certificates.into_iter().map(|certificate| certificate.to_vec()).collect();
    Ok(CaFile { path: PathBuf::from(path), certificates })
}
