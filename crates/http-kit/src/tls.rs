//! TLS at the door, by certificates that are replaced while the process runs.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::Deserialize;

use crate::key_files::KeyFiles;

/// How a service listens with TLS, beside its plain port; part of its settings.
#[derive(Debug, Clone, Deserialize)]
pub struct TlsSettings {
    /// The certificate and those that lead to its authority, PEM. Empty is no TLS.
    pub tls_cert_file: PathBuf,
    /// Its private key, PEM.
    pub tls_key_file: PathBuf,
    /// 0 takes a free port.
    pub tls_port: u16,
}

impl TlsSettings {
    pub fn is_on(&self) -> bool {
        !self.tls_cert_file.as_os_str().is_empty()
    }

    /// TLS 1.2 and 1.3; HTTP/2 where the client speaks it.
    pub(crate) fn server_config(&self) -> anyhow::Result<ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let paths = vec![self.tls_cert_file.clone(), self.tls_key_file.clone()];
        let certificates = KeyFiles::load(paths, {
            let provider = Arc::clone(&provider);
            move |files| certified(files, &provider)
        })
        .context("tls_cert_file, tls_key_file")?;
        Ok(ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Certificates(certificates))))
    }
}

/// Certificate and key belong together, also while one file is replaced after the other.
fn certified(files: &[Vec<u8>], provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
    let [certificates, key] = files else {
        anyhow::bail!("two files are read");
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<_, _>>()
        .context("certificates in PEM are expected")?;
    anyhow::ensure!(!chain.is_empty(), "there is no certificate");
    let key = PrivateKeyDer::from_pem_slice(key).context("a private key in PEM is expected")?;
    Ok(CertifiedKey::from_der(chain, key, provider)?)
}

#[derive(Debug)]
struct Certificates(KeyFiles<CertifiedKey>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.get())
    }
}
