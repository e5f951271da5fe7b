//! OpenPGP keys that may sign a repository, and whether one of them did.

use pgp::armor::{BlockType, Dearmor};
use pgp::composed::{PublicOrSecret, SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{Packet, PacketParser, Signature, SignatureType};
use pgp::types::{KeyDetails, Tag};
use std::io::{BufReader, Cursor};
use std::time::SystemTime;
use wharf_types::{Error, Result};

/// The keys that are trusted.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: Vec<SignedPublicKey>,
}

/// Why a key that the ring knows must not be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Flaw {
    Expired,
    NotForSigning,
    Revoked,
    BadSignature,
}

const BLOCK: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

impl Keyring {
    /// Adds the keys of a file: binary, or any number of armored blocks. Says how many there were.
    pub fn add(&mut self, content: &[u8]) -> Result<usize> {
        let before = self.keys.len();
        match std::str::from_utf8(content).ok().filter(|text| text.contains(BLOCK)) {
            Some(text) => {
                for block in text.split(BLOCK).skip(1) {
                    let armored = Cursor::new(format!("{BLOCK}{block}"));
                    let (keys, _) = PublicOrSecret::from_armor_many(armored).map_err(unreadable)?;
                    self.extend(keys)?;
                }
            }
            None => self.extend(PublicOrSecret::from_bytes_many(BufReader::new(content)).map_err(unreadable)?)?,
        }
        Ok(self.keys.len() - before)
    }

    fn extend(&mut self, keys: impl Iterator<Item = pgp::errors::Result<PublicOrSecret>>) -> Result<()> {
        for key in keys {
            if let PublicOrSecret::Public(key) = key.map_err(unreadable)? {
                self.keys.push(key);
            }
        }
        Ok(())
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Succeeds when at least one of the armored signatures over `signed` is by a key of the ring that is
    /// valid at `now`, and says by which (its fingerprint).
    pub fn verify(&self, signed: &[u8], armored: &str, now: SystemTime) -> Result<String> {
        let now = seconds(now);
        let signatures = read_signatures(armored)?;
        let mut worst = None;
        for signature in &signatures {
            for key in &self.keys {
                match check(key, signature, signed, now) {
                    Some(Ok(fingerprint)) => return Ok(fingerprint),
                    Some(Err((flaw, id))) => worst = worst.max(Some((flaw, id))),
                    None => {}
                }
            }
        }
        Err(match worst {
            Some((flaw, id)) => flawed(flaw, &id),
            None => unknown(&signatures),
        })
    }
}

fn read_signatures(armored: &str) -> Result<Vec<Signature>> {
    let malformed = || Error::corrupt("the signature of the Release file is malformed");
    let mut dearmor = Dearmor::new(BufReader::new(armored.as_bytes()));
    dearmor.read_header().map_err(|error| malformed().caused_by(error))?;
    if dearmor.typ != Some(BlockType::Signature) {
        return Err(malformed());
    }
    let mut signatures = Vec::new();
    for packet in PacketParser::new(BufReader::new(dearmor)) {
        if let Packet::Signature(signature) = packet.map_err(|error| malformed().caused_by(error))? {
            signatures.push(signature);
        }
    }
    if signatures.is_empty() { Err(malformed()) } else { Ok(signatures) }
}

/// `None` when neither the key nor any of its subkeys made the signature.
fn check(
    key: &SignedPublicKey,
    signature: &Signature,
    signed: &[u8],
    now: u64,
) -> Option<Result<String, (Flaw, String)>> {
    let is_document = matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text));
    if !is_document {
        return None;
    }
    let primary = &key.primary_key;
    let (id, genuine, state) = if made_by(signature, primary) {
        (primary.fingerprint(), signature.verify(primary, signed).is_ok(), primary_state(key, now, true))
    } else {
        let subkey = key.public_subkeys.iter().find(|subkey| made_by(signature, &subkey.key))?;
        let state = primary_state(key, now, false).and_then(|()| subkey_state(key, subkey, now));
        (subkey.key.fingerprint(), signature.verify(&subkey.key, signed).is_ok(), state)
    };
    let id = id.to_string().to_uppercase();
    Some(match (genuine, state.and_then(|()| signature_state(signature, now))) {
        (false, _) => Err((Flaw::BadSignature, id)),
        (true, Err(flaw)) => Err((flaw, id)),
        (true, Ok(())) => Ok(id),
    })
}

fn made_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let (id, fingerprint) = (key.legacy_key_id(), key.fingerprint());
    signature.issuer_fingerprint().contains(&&fingerprint) || signature.issuer_key_id().contains(&&id)
}

/// The newest self-signature of the primary key decides; a revocation by itself ends it for good.
fn primary_state(key: &SignedPublicKey, now: u64, signs: bool) -> Result<(), Flaw> {
    let primary = &key.primary_key;
    if key.details.revocation_signatures.iter().any(|revocation| revocation.verify_key(primary).is_ok()) {
        return Err(Flaw::Revoked);
    }
    let direct = key.details.direct_signatures.iter().filter(|signature| signature.verify_key(primary).is_ok());
    let by_user = key.details.users.iter().flat_map(|user| {
        let genuine = |signature: &&Signature| {
            signature.typ() != Some(SignatureType::CertRevocation)
                && made_by(signature, primary)
                && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        };
        user.signatures.iter().filter(genuine)
    });
    let newest = direct.chain(by_user).max_by_key(|signature| created(signature)).ok_or(Flaw::NotForSigning)?;
    if expired(newest, u64::from(primary.created_at().as_secs()), now) {
        return Err(Flaw::Expired);
    }
    if signs && !newest.key_flags().sign() { Err(Flaw::NotForSigning) } else { Ok(()) }
}

/// A signing subkey must be bound by the primary key, and must itself have agreed to that (RFC 9580, 5.2.1.8).
fn subkey_state(key: &SignedPublicKey, subkey: &SignedPublicSubKey, now: u64) -> Result<(), Flaw> {
    let genuine: Vec<_> = subkey
        .signatures
        .iter()
        .filter(|signature| signature.verify_subkey_binding(&key.primary_key, &subkey.key).is_ok())
        .collect();
    if genuine.iter().any(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation)) {
        return Err(Flaw::Revoked);
    }
    let newest = genuine.into_iter().max_by_key(|signature| created(signature)).ok_or(Flaw::NotForSigning)?;
    if expired(newest, u64::from(subkey.key.created_at().as_secs()), now) {
        return Err(Flaw::Expired);
    }
    let agreed = newest
        .embedded_signature()
        .is_some_and(|signature| signature.verify_primary_key_binding(&subkey.key, &key.primary_key).is_ok());
    if newest.key_flags().sign() && agreed { Ok(()) } else { Err(Flaw::NotForSigning) }
}

fn signature_state(signature: &Signature, now: u64) -> Result<(), Flaw> {
    let lifetime = signature.signature_expiration_time().map_or(0, |duration| u64::from(duration.as_secs()));
    if lifetime != 0 && created(signature).saturating_add(lifetime) <= now { Err(Flaw::Expired) } else { Ok(()) }
}

fn expired(binding: &Signature, key_created: u64, now: u64) -> bool {
    let lifetime = binding.key_expiration_time().map_or(0, |duration| u64::from(duration.as_secs()));
    lifetime != 0 && key_created.saturating_add(lifetime) <= now
}

fn created(signature: &Signature) -> u64 {
    signature.created().map_or(0, |time| u64::from(time.as_secs()))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |duration| duration.as_secs())
}

fn flawed(flaw: Flaw, id: &str) -> Error {
    match flaw {
        Flaw::BadSignature => Error::corrupt(format!("the signature of the Release file by the key {id} is wrong"))
            .with_hint(
                "the file was changed on its way or on the mirror; try again or take another mirror with --mirror",
            ),
        Flaw::Revoked => Error::forbidden(format!("the Release file is signed by the revoked key {id}"))
            .with_hint("take another mirror with --mirror"),
        Flaw::NotForSigning => {
            Error::forbidden(format!("the Release file is signed by the key {id}, which may not sign"))
                .with_hint("name the right keys with --keyring")
        }
        Flaw::Expired => Error::forbidden(format!("the Release file is signed by the expired key {id}")).with_hint(
            "update the host's archive keyring package, check the host's clock, or name newer keys with --keyring",
        ),
    }
}

fn unknown(signatures: &[Signature]) -> Error {
    let name = |signature: &Signature| match signature.issuer_fingerprint().first() {
        Some(fingerprint) => Some(fingerprint.to_string()),
        None => signature.issuer_key_id().first().map(ToString::to_string),
    };
    let ids: Vec<_> = signatures.iter().filter_map(name).map(|id| id.to_uppercase()).collect();
    Error::forbidden(format!("the Release file is signed by unknown keys ({})", ids.join(", ")))
        .with_hint("install the distribution's archive keyring package on the host, or name its keys with --keyring")
}

fn unreadable(error: pgp::errors::Error) -> Error {
    Error::corrupt("the keyring is malformed").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clearsign::Clearsigned;
    use crate::testing::{self, TestKey};
    use std::time::Duration;
    use wharf_types::Kind;

    const TEXT: &str = "Origin: Test\nSuite: x\n- dashes\n\nend";

    fn verify(keys: &[&TestKey], message: &str) -> Result<String> {
        let mut ring = Keyring::default();
        keys.iter().for_each(|key| assert_eq!(ring.add(&key.public()).unwrap(), 1));
        let parsed = Clearsigned::parse(message)?;
        ring.verify(&parsed.signed_bytes(), &parsed.signature, SystemTime::now())
    }

    #[test]
    fn accepts_a_known_key() {
        let (key, other) = (TestKey::new(), TestKey::new());
        assert_eq!(verify(&[&other, &key], &key.clearsign(TEXT)).unwrap(), key.fingerprint());
    }

    #[test]
    fn accepts_a_signing_subkey_and_an_armored_ring() {
        let key = TestKey::with_subkey();
        let message = key.clearsign_by_subkey(TEXT);
        assert_ne!(verify(&[&key], &message).unwrap(), key.fingerprint());
        let mut ring = Keyring::default();
        let twice = key.armored() + &TestKey::new().armored();
        assert_eq!(ring.add(twice.as_bytes()).unwrap(), 2);
        let parsed = Clearsigned::parse(&message).unwrap();
        assert!(ring.verify(&parsed.signed_bytes(), &parsed.signature, SystemTime::now()).is_ok());
    }

    #[test]
    fn refuses_a_changed_text() {
        let key = TestKey::new();
        let error = verify(&[&key], &key.clearsign(TEXT).replace("Suite: x", "Suite: y")).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(error.to_string().contains("is wrong") && error.hint().is_some(), "{error:?}");
    }

    #[test]
    fn refuses_an_unknown_key() {
        let (key, other) = (TestKey::new(), TestKey::new());
        let error = verify(&[&other], &key.clearsign(TEXT)).unwrap_err();
        assert!(error.to_string().contains(&key.fingerprint()), "{error:?}");
        assert!(error.hint().unwrap().contains("--keyring"));
        assert!(verify(&[], &key.clearsign(TEXT)).unwrap_err().to_string().contains("unknown"));
    }

    #[test]
    fn refuses_an_expired_key() {
        let key = TestKey::expiring(Duration::from_secs(60));
        let error = verify(&[&key], &key.clearsign(TEXT)).unwrap_err();
        assert!(error.to_string().contains("expired") && error.hint().is_some(), "{error:?}");
        let fresh = TestKey::expiring(Duration::from_secs(10 * 365 * 86400));
        assert!(verify(&[&fresh], &fresh.clearsign(TEXT)).is_ok());
    }

    #[test]
    fn refuses_a_revoked_key() {
        let key = TestKey::revoked();
        let error = verify(&[&key], &key.clearsign(TEXT)).unwrap_err();
        assert!(error.to_string().contains("revoked"), "{error:?}");
    }

    #[test]
    fn refuses_malformed_rings_and_signatures() {
        assert!(Keyring::default().add(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxx\n").is_err());
        let key = TestKey::new();
        let mut ring = Keyring::default();
        ring.add(&key.public()).unwrap();
        assert!(
            ring.verify(
                b"x",
                "-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n",
                SystemTime::now()
            )
            .is_err()
        );
        assert!(ring.verify(b"x", &testing::armored_key_as_signature(&key), SystemTime::now()).is_err());
    }
}
