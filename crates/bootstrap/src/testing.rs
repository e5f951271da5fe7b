//! What tests need: keys that sign, and packages.

use pgp::composed::{
    ArmorOptions, KeyType, SecretKeyParamsBuilder, SignedPublicKey, SignedSecretKey, SubkeyParamsBuilder,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{KeyFlags, Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData, UserId};
use pgp::ser::Serialize;
use pgp::types::{Duration as PgpDuration, KeyDetails, Password, SigningKey, Tag, Timestamp};
use std::io::Write;
use std::time::Duration;

/// A key pair made for one test.
pub struct TestKey {
    secret: SignedSecretKey,
    public: SignedPublicKey,
}

/// Keys are two days old, so that they can have expired.
const AGE: u32 = 2 * 86400;

impl TestKey {
    pub fn new() -> Self {
        Self::build(false)
    }

    pub fn with_subkey() -> Self {
        Self::build(true)
    }

    fn build(subkey: bool) -> Self {
        let created = Timestamp::from_secs(Timestamp::now().as_secs() - AGE);
        let mut params = SecretKeyParamsBuilder::default();
        params.key_type(KeyType::Ed25519Legacy).can_certify(true).can_sign(!subkey).created_at(created);
        params.primary_user_id("Test <test@example.org>".into());
        if subkey {
            params.subkey(
                SubkeyParamsBuilder::default().key_type(KeyType::Ed25519Legacy).can_sign(true).build().unwrap(),
            );
        }
        let secret = params.build().unwrap().generate(rand::thread_rng()).unwrap();
        let public = secret.to_public_key();
        Self { secret, public }
    }

    /// Valid for so long after its making.
    pub fn expiring(lifetime: Duration) -> Self {
        let mut key = Self::new();
        let mut flags = KeyFlags::default();
        flags.set_sign(true);
        let seconds = PgpDuration::from_secs(lifetime.as_secs().try_into().unwrap());
        let mut config = key.config(SignatureType::CertPositive);
        config.hashed_subpackets.push(Subpacket::regular(SubpacketData::KeyFlags(flags)).unwrap());
        config.hashed_subpackets.push(Subpacket::regular(SubpacketData::KeyExpirationTime(seconds)).unwrap());
        let id = UserId::from_str(Default::default(), "Test").unwrap();
        let primary = &key.secret.primary_key;
        let signature =
            config.sign_certification(primary, &key.public.primary_key, &Password::empty(), Tag::UserId, &id).unwrap();
        key.public.details.users = vec![id.into_signed(signature)];
        key
    }

    pub fn revoked() -> Self {
        let mut key = Self::new();
        let config = key.config(SignatureType::KeyRevocation);
        let signature = config.sign_key(&key.secret.primary_key, &Password::empty(), &key.public.primary_key).unwrap();
        key.public.details.revocation_signatures.push(signature);
        key
    }

    fn config(&self, kind: SignatureType) -> SignatureConfig {
        config(&self.secret.primary_key, kind)
    }

    pub fn public(&self) -> Vec<u8> {
        self.public.to_bytes().unwrap()
    }

    pub fn armored(&self) -> String {
        self.public.to_armored_string(ArmorOptions::default()).unwrap()
    }

    pub fn fingerprint(&self) -> String {
        self.public.primary_key.fingerprint().to_string().to_uppercase()
    }

    /// A cleartext signed message; `text` must be escaped already.
    pub fn clearsign(&self, text: &str) -> String {
        clearsign(&self.secret.primary_key, text)
    }

    pub fn clearsign_by_subkey(&self, text: &str) -> String {
        clearsign(&self.secret.secret_subkeys[0].key, text)
    }

    /// An armored detached signature.
    pub fn sign(&self, content: &[u8]) -> String {
        armor(&sign(&self.secret.primary_key, SignatureType::Binary, content))
    }
}

fn config(key: &impl SigningKey, kind: SignatureType) -> SignatureConfig {
    let mut config = SignatureConfig::v4(kind, key.algorithm(), HashAlgorithm::Sha256);
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::SignatureCreationTime(Timestamp::now())).unwrap(),
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint())).unwrap(),
    ];
    config
}

fn sign(key: &impl SigningKey, kind: SignatureType, content: &[u8]) -> Signature {
    config(key, kind).sign(key, &Password::empty(), content).unwrap()
}

fn armor(signature: &Signature) -> String {
    pgp::composed::DetachedSignature::new(signature.clone()).to_armored_string(ArmorOptions::default()).unwrap()
}

fn clearsign(key: &impl SigningKey, text: &str) -> String {
    let plain: Vec<_> = text.lines().map(|line| line.strip_prefix("- ").unwrap_or(line)).collect();
    let signature = armor(&sign(key, SignatureType::Text, plain.join("\r\n").as_bytes()));
    format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{}\n{signature}", text.trim_end_matches('\n'))
}

/// A key block in the dress of a signature.
pub fn armored_key_as_signature(key: &TestKey) -> String {
    key.armored().replace("PUBLIC KEY BLOCK", "SIGNATURE")
}

/// Makes package files.
pub struct DebBuilder {
    control: String,
    scripts: tar::Builder<Vec<u8>>,
    data: tar::Builder<Vec<u8>>,
    compression: String,
}

impl DebBuilder {
    pub fn new(name: &str, version: &str) -> Self {
        let control =
            format!("Package: {name}\nVersion: {version}\nArchitecture: {}\n", crate::options::host_architecture());
        let mut data = tar::Builder::new(Vec::new());
        append(&mut data, "./", &EntryKind::Folder);
        Self { control, scripts: tar::Builder::new(Vec::new()), data, compression: "xz".into() }
    }

    pub fn field(mut self, line: &str) -> Self {
        self.control.push_str(line);
        self.control.push('\n');
        self
    }

    pub fn script(mut self, name: &str, content: &str) -> Self {
        append(&mut self.scripts, &format!("./{name}"), &EntryKind::File(content, 0o755));
        self
    }

    pub fn folder(mut self, path: &str) -> Self {
        append(&mut self.data, path, &EntryKind::Folder);
        self
    }

    pub fn folder_with_mode(mut self, path: &str, mode: u32) -> Self {
        append(&mut self.data, path, &EntryKind::FolderWith(mode));
        self
    }

    pub fn file(mut self, path: &str, content: &str) -> Self {
        append(&mut self.data, path, &EntryKind::File(content, 0o644));
        self
    }

    pub fn symlink(mut self, path: &str, target: &str) -> Self {
        append(&mut self.data, path, &EntryKind::Symlink(target));
        self
    }

    pub fn hardlink(mut self, path: &str, target: &str) -> Self {
        append(&mut self.data, path, &EntryKind::Hardlink(target));
        self
    }

    pub fn compression(mut self, name: &str) -> Self {
        self.compression = name.into();
        self
    }

    pub fn control_text(&self) -> &str {
        &self.control
    }

    pub fn build(mut self) -> Vec<u8> {
        append(&mut self.scripts, "./control", &EntryKind::File(&self.control, 0o644));
        let ending = if self.compression.is_empty() { String::new() } else { format!(".{}", self.compression) };
        let mut deb = b"!<arch>\n".to_vec();
        ar_member(&mut deb, "debian-binary", b"2.0\n");
        ar_member(
            &mut deb,
            &format!("control.tar{ending}"),
            &compress(&self.compression, &self.scripts.into_inner().unwrap()),
        );
        ar_member(
            &mut deb,
            &format!("data.tar{ending}"),
            &compress(&self.compression, &self.data.into_inner().unwrap()),
        );
        deb
    }
}

enum EntryKind<'a> {
    Folder,
    FolderWith(u32),
    File(&'a str, u32),
    Symlink(&'a str),
    Hardlink(&'a str),
}

fn append(tar: &mut tar::Builder<Vec<u8>>, path: &str, kind: &EntryKind<'_>) {
    let mut header = tar::Header::new_gnu();
    let (entry_type, mode, link, content) = match *kind {
        EntryKind::Folder => (tar::EntryType::Directory, 0o755, None, ""),
        EntryKind::FolderWith(mode) => (tar::EntryType::Directory, mode, None, ""),
        EntryKind::File(content, mode) => (tar::EntryType::Regular, mode, None, content),
        EntryKind::Symlink(target) => (tar::EntryType::Symlink, 0o777, Some(target), ""),
        EntryKind::Hardlink(target) => (tar::EntryType::Link, 0o644, Some(target), ""),
    };
    header.set_entry_type(entry_type);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    header.set_size(content.len() as u64);
    header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
    if let Some(link) = link {
        header.set_link_name_literal(link).unwrap();
    }
    header.set_cksum();
    tar.append(&header, content.as_bytes()).unwrap();
}

fn ar_member(archive: &mut Vec<u8>, name: &str, data: &[u8]) {
    writeln!(archive, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, "100644", data.len()).unwrap();
    archive.extend_from_slice(data);
    if data.len() % 2 == 1 {
        archive.push(b'\n');
    }
}

pub fn compress(compression: &str, plain: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut packed = Vec::new();
    match compression {
        "gz" => {
            flate2::read::GzEncoder::new(plain, flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
        }
        "xz" => {
            liblzma::read::XzEncoder::new(plain, 1).read_to_end(&mut packed).unwrap();
        }
        "zst" => packed = zstd::encode_all(plain, 1).unwrap(),
        _ => packed.extend_from_slice(plain),
    }
    packed
}

/// A package as a plan would name it; its file is nowhere.
pub fn chosen(builder: &DebBuilder) -> crate::plan::Chosen {
    let fields = crate::deb822::Paragraph::parse(builder.control_text()).unwrap();
    let field = |name: &str| fields.get(name).unwrap().to_owned();
    crate::plan::Chosen {
        name: field("Package"),
        version: field("Version"),
        architecture: field("Architecture"),
        url: String::new(),
        path: "/nonexistent".into(),
        size: 0,
        sha256: wharf_types::Digest::of(b""),
    }
}
