//! Encryption of the API over TCP.

use std::fmt;
use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use wharf_types::{Error, Result};

/// Encryption, ready for connections. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    checks_clients: bool,
}

impl Tls {
    /// From a certificate chain and its key; with authorities, only clients with a certificate of theirs are let in. All
    /// in PEM form.
    ///
    /// # Errors
    /// `InvalidParameter` for what is no certificate or key, or do not belong together.
    pub fn new(certificate: &[u8], key: &[u8], authorities: Option<&[u8]>) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable("settings", &error))?;
        let builder = match authorities {
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem, "authority's certificate (--tlscacert)")? {
                    roots.add(certificate).map_err(|error| unusable("authority's certificate", &error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| unusable("authorities", &error))?)
            }
            None => builder.with_no_client_auth(),
        };
        let chain = certificates(certificate, "certificate (--tlscert)")?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| unusable("key (--tlskey)", &error))?;
        let mut config = builder.with_single_cert(chain, key).map_err(|error| unusable("certificate", &error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: Arc::new(config).into(), checks_clients: authorities.is_some() })
    }

    pub(crate) fn checks_clients(&self) -> bool {
        self.checks_clients
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| unusable(what, &e))?;
    match chain.is_empty() {
        true => Err(unusable(what, &"there is none in it")),
        false => Ok(chain),
    }
}

fn unusable(what: &str, error: &dyn fmt::Display) -> Error {
    Error::invalid(format!("the {what} for TLS cannot be used: {error}"))
        .with_hint("'wharf system certificates' makes a set of them")
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("checks_clients", &self.checks_clients).finish_non_exhaustive()
    }
}
