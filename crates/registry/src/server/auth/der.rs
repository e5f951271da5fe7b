//! As much of DER (X.690) as it takes to find a public key in a key or a certificate.

/// What a public key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA; the key is an RSAPublicKey (RFC 8017, A.1.1).
    Rsa,
    /// ECDSA over P-256; the key is an uncompressed point.
    P256,
    /// ECDSA over P-384.
    P384,
    /// Ed25519; the key is 32 bytes.
    Ed25519,
}

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x2b, 0x81, 4, 0, 34];
const ED25519: &[u8] = &[0x2b, 0x65, 112];

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const OID: u8 = 0x06;
/// The certificate's version, which may be left out.
const VERSION: u8 = 0xa0;

/// The next value with its tag, and what follows.
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 || rest.len() < count {
            return None;
        }
        let (digits, rest) = rest.split_at(count);
        (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
    };
    (rest.len() >= length).then(|| (tag, &rest[..length], &rest[length..]))
}

fn expect(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, value, rest) = next(bytes)?;
    (tag == wanted).then_some((value, rest))
}

/// The key of a SubjectPublicKeyInfo (RFC 5280, 4.1).
pub fn public_key(der: &[u8]) -> Option<(Algorithm, Vec<u8>)> {
    let (info, _) = expect(der, SEQUENCE)?;
    let (identifier, rest) = expect(info, SEQUENCE)?;
    let (oid, parameters) = expect(identifier, OID)?;
    let algorithm = match oid {
        RSA => Algorithm::Rsa,
        ED25519 => Algorithm::Ed25519,
        EC => match expect(parameters, OID)?.0 {
            P256 => Algorithm::P256,
            P384 => Algorithm::P384,
            _ => return None,
        },
        _ => return None,
    };
    let (unused, key) = expect(rest, BIT_STRING)?.0.split_first()?;
    (*unused == 0).then(|| (algorithm, key.to_vec()))
}

/// The key of a certificate.
pub fn key_of_certificate(der: &[u8]) -> Option<(Algorithm, Vec<u8>)> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (mut rest, _) = expect(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = next(rest)?.2;
    }
    // Serial number, signature algorithm, issuer, validity, subject.
    for _ in 0..5 {
        rest = next(rest)?.2;
    }
    public_key(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = public_key(&bytes);
            let _ = key_of_certificate(&bytes);
        }
    }
}
