//! Certificates for tests of encryption: an authority of one's own, and what it signs.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// An authority that nobody trusts unless told to.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, both PEM.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Authority {
    /// Makes one.
    ///
    /// # Panics
    /// If there is no randomness.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("no names are fine names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("an authority signs itself").pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// Its own certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for host names and addresses, or for a client where there are none.
    ///
    /// # Panics
    /// If one of them cannot stand in a certificate.
    pub fn sign(&self, names: &[&str]) -> Signed {
        self.sign_until(names, 2999)
    }

    /// A certificate that is good until the first day of a year.
    ///
    /// # Panics
    /// As [`Authority::sign`].
    pub fn sign_until(&self, names: &[&str], year: i32) -> Signed {
        let key = KeyPair::generate().expect("a key can be made");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names for a certificate");
        params.distinguished_name.push(DnType::CommonName, "of a test");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("an authority signs").pem();
        Signed { certificate, key: key.serialize_pem() }
    }
}

impl Signed {
    /// Writes `NAME.pem` and `NAME.key.pem` into a folder.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn write(&self, folder: &Path, name: &str) {
        fs::write(folder.join(format!("{name}.pem")), &self.certificate).expect("a certificate can be written");
        fs::write(folder.join(format!("{name}.key.pem")), &self.key).expect("a key can be written");
    }
}
