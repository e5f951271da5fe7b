//! `system certificates`: what an engine on TCP and its clients need to know each other.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output::{self, os_error};

/// What `system certificates` takes.
#[derive(Debug, Args)]
pub struct CertificatesFlags {
    /// Names and addresses by which clients reach the engine (repeatable)
    #[arg(long = "for", value_name = "NAME|ADDRESS")]
    hosts: Vec<String>,
    /// Days for which they are good
    #[arg(long, default_value_t = 3650)]
    days: u32,
    #[arg(value_name = "DIR", num_args = 0..)]
    words: Vec<String>,
}

definition! {
    CertificatesFlags, certificates,
    names: &["system certificates"],
    about: "Make the certificates with which an engine on TCP and its clients know each other",
    usage: "[OPTIONS] DIR",
    arity: Arity::Exactly(1),
}

/// The files, and whether they are secret.
const FILES: [(&str, bool); 6] = [
    ("ca.pem", false),
    ("ca-key.pem", true),
    ("server-cert.pem", false),
    ("server-key.pem", true),
    ("cert.pem", false),
    ("key.pem", true),
];

async fn certificates(_app: &App, flags: CertificatesFlags) -> Outcome {
    let folder = PathBuf::from(&flags.words[0]);
    if let Some((file, _)) = FILES.iter().find(|(file, _)| folder.join(file).exists()) {
        return Err(Failure::new(format!("{} is there already", folder.join(file).display()))
            .with_hint("name another folder: whoever trusts the old ones would be shut out"));
    }
    let made =
        make(&flags.hosts, flags.days).map_err(|error| Failure::new(format!("cannot make certificates: {error}")))?;
    write(&folder, &made)
        .map_err(|error| Failure::new(format!("cannot write into {}: {}", folder.display(), os_error(&error))))?;
    let folder = folder.display();
    output::out(&format!(
        "Engine:  wharf engine --host tcp://0.0.0.0:2376 --tlsverify --tlscacert {folder}/ca.pem \\\n\
         \x20          --tlscert {folder}/server-cert.pem --tlskey {folder}/server-key.pem\n\
         Client:  give it ca.pem, cert.pem and key.pem; then\n\
         \x20          DOCKER_HOST=tcp://HOST:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=DIR wharf info\n\
         Keep ca-key.pem to yourself: whoever has it can make clients.\n"
    ))?;
    Ok(0)
}

/// The contents of [`FILES`].
fn make(hosts: &[String], days: u32) -> Result<[String; 6], rcgen::Error> {
    let (ca_key, server_key, client_key) = (KeyPair::generate()?, KeyPair::generate()?, KeyPair::generate()?);
    let mut authority = params(Vec::new(), "wharf engine authority", days)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = authority.self_signed(&ca_key)?;
    let issuer = Issuer::from_params(&authority, &ca_key);
    let names = hosts.iter().cloned().chain(["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()]);
    let mut server = params(names.collect(), "wharf engine", days)?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let server = server.signed_by(&server_key, &issuer)?;
    let mut client = params(Vec::new(), "wharf client", days)?;
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client = client.signed_by(&client_key, &issuer)?;
    Ok([
        ca.pem(),
        ca_key.serialize_pem(),
        server.pem(),
        server_key.serialize_pem(),
        client.pem(),
        client_key.serialize_pem(),
    ])
}

fn params(names: Vec<String>, common_name: &str, days: u32) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    // A day ago: clocks differ.
    let day = |days: i64| {
        let time = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
        let date = time.to_zoned_datetime(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    (params.not_before, params.not_after) = (day(-1), day(days.into()));
    Ok(params)
}

fn write(folder: &Path, made: &[String; 6]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::create_dir_all(folder)?;
    for ((name, secret), text) in FILES.iter().zip(made) {
        let mode = if *secret { 0o600 } else { 0o644 };
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(folder.join(name))?;
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}
