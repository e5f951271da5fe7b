//! Encryption of connections to engines elsewhere.

use std::fmt;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use wharf_types::{Error, Kind, Result};

/// What a person has to prove who they are and to know who they speak to; all in PEM form.
#[derive(Debug, Clone, Default)]
pub struct TlsMaterial {
    /// Certificates of the authorities that are believed; without any, the public ones are.
    pub authorities: Option<Vec<u8>>,
    /// One's own certificate and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Whether the engine's certificate is checked at all.
    pub verify: bool,
}

/// How a connection is encrypted. Cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Makes ready what connections need.
    ///
    /// # Errors
    /// `InvalidParameter` for what is no certificate or key, or do not belong together.
    pub fn new(material: &TlsMaterial) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| unusable("settings", &error))?;
        let builder = match material.verify {
            true => builder.with_root_certificates(roots(material.authorities.as_deref())?),
            false => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
        };
        let config = match &material.identity {
            Some((certificate, key)) => {
                let chain = certificates(certificate, "client certificate")?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| unusable("key", &error))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| unusable("client certificate", &error))?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Self(Arc::new(config)))
    }

    pub(crate) async fn connect(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| Error::invalid(format!("{host:?} is no name of a host")).caused_by(error))?;
        TlsConnector::from(Arc::clone(&self.0)).connect(name, stream).await.map_err(|error| {
            Error::new(Kind::Unavailable, format!("the engine at {host} cannot be spoken to with TLS"))
                .with_hint("is it one with TLS, and does --tlscacert name the authority of its certificate?")
                .caused_by(error)
        })
    }
}

fn roots(authorities: Option<&[u8]>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match authorities {
        Some(pem) => {
            for certificate in certificates(pem, "authority's certificate")? {
                store.add(certificate).map_err(|error| unusable("authority's certificate", &error))?;
            }
        }
        None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    Ok(store)
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
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tls {}

/// Believes everybody, as `--tls` without `--tlsverify` asks for; signatures are checked all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused() {
        for material in [
            TlsMaterial { authorities: Some(b"nonsense".to_vec()), verify: true, identity: None },
            TlsMaterial { authorities: None, verify: false, identity: Some((b"x".to_vec(), b"y".to_vec())) },
        ] {
            assert_eq!(Tls::new(&material).unwrap_err().kind(), Kind::InvalidParameter);
        }
        assert!(Tls::new(&TlsMaterial { verify: true, ..TlsMaterial::default() }).is_ok());
    }
}
