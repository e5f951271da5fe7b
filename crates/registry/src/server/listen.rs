//! Sockets, and encryption on them.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use wharf_types::{Error, Result};

use super::auth::Reloaded;
use super::config::Tls;

/// Listens at an address.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listening = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    listening.map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::AddrInUse => "something else listens there: choose another port with --listen, or stop that",
            ErrorKind::PermissionDenied => "ports below 1024 are for root: choose another one with --listen",
            ErrorKind::AddrNotAvailable => "this host has no such address: 0.0.0.0 or [::] are all it has",
            _ => "addresses look like 127.0.0.1:5000",
        };
        Error::from(error).context_of(format!("cannot listen on {address}")).with_hint(hint)
    })
}

trait ContextOf {
    fn context_of(self, message: String) -> Error;
}

impl ContextOf for Error {
    fn context_of(self, message: String) -> Error {
        Error::new(self.kind(), message).caused_by(self)
    }
}

/// Encrypts connections; certificates are read again when they change.
pub struct Encryption(Reloaded<TlsAcceptor>);

impl Encryption {
    /// Reads the certificates.
    pub fn open(tls: &Tls) -> Result<Self> {
        let watched: Vec<&Path> = [&tls.certificate, &tls.key]
            .into_iter()
            .chain(&tls.client_authorities)
            .map(std::path::PathBuf::as_path)
            .collect();
        let files = tls.clone();
        Reloaded::open(&watched, move |_| acceptor(&files)).map(Self)
    }

    /// With the present certificates.
    pub fn acceptor(&self) -> Arc<TlsAcceptor> {
        self.0.get()
    }
}

fn acceptor(tls: &Tls) -> Result<TlsAcceptor> {
    let chain = certificates(&tls.certificate, "give a certificate chain in PEM form that this user may read")?;
    let key = &tls.key;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| unusable(key, &error, "give the certificate's private key in PEM form, without a password"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| Error::system("TLS cannot be set up").caused_by(error))?;
    let builder = match &tls.client_authorities {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(of_clients(path, provider)?),
    };
    let config = builder.with_single_cert(chain, private);
    let mut config = config.map_err(|error| unusable(key, &error, "key and certificate must belong together"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Lets only clients in whose certificates come from the authorities in this file.
fn of_clients(path: &Path, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>> {
    const HINT: &str = "give the certificates of the clients' authorities in PEM form";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, HINT)? {
        roots.add(certificate).map_err(|error| unusable(path, &error, HINT))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error| unusable(path, &error, HINT))
}

fn certificates(path: &Path, hint: &str) -> Result<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| unusable(path, &error, hint))?;
    if chain.is_empty() {
        return Err(unusable(path, &io::Error::other("it has no certificate"), hint));
    }
    Ok(chain)
}

fn unusable(path: &Path, error: &dyn std::error::Error, hint: &str) -> Error {
    Error::invalid(format!("the file {} cannot be used: {error}", path.display())).with_hint(hint.to_owned())
}
