//! Encryption, with this project's own client on the other side.

use std::path::Path;

use wharf_registry::client::{Access, Credentials, Registry, Settings};
use wharf_registry::server::{Scheme, Tls};
use wharf_testkit::certificates::{Authority, Signed};
use wharf_types::{Kind, Result};

use crate::fixture::Served;

/// A server that has a certificate for its address, and asks clients for one of theirs if there is an authority.
fn server(own: &Signed, of_clients: Option<&Authority>) -> Served {
    Served::start_with(|config, folder| {
        own.write(folder, "server");
        let client_authorities = of_clients.map(|authority| {
            let path = folder.join("clients.pem");
            std::fs::write(&path, authority.certificate()).unwrap();
            path
        });
        let users = format!("anna:{}\n", bcrypt::hash("secret", 4).unwrap());
        std::fs::write(folder.join("users"), users).unwrap();
        config.htpasswd = Some(folder.join("users"));
        config.scheme = Scheme::Token;
        let (certificate, key) = (folder.join("server.pem"), folder.join("server.key.pem"));
        config.tls = Some(Tls { certificate, key, client_authorities });
    })
}

/// The registry's folder as the client looks for it: `certs.d/HOST:PORT`.
fn folder_of(server: &Served) -> std::path::PathBuf {
    let folder = server.folder.path().join("certs.d").join(&server.address);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn trust(folder: &Path, authority: &Authority) {
    std::fs::write(folder.join("ca.crt"), authority.certificate()).unwrap();
}

/// Logs in and asks for a manifest that is not there: every answer of the registry itself is a good one.
fn visit(server: &Served, insecure: bool) -> Result<()> {
    let hosts_dirs = vec![server.folder.path().join("certs.d")];
    let insecure = if insecure { vec![server.address.clone()] } else { Vec::new() };
    let client = Registry::new(Settings { hosts_dirs, insecure, attempts: 1, ..Settings::default() });
    let anna = Credentials { username: "anna".into(), password: "secret".into(), ..Credentials::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        client.login(&server.address, &anna).await?;
        let repository = client.repository(&server.address, "team/app", &anna, Access::Pull)?;
        let missing = repository.resolve("1").await.unwrap_err();
        assert_eq!(missing.kind(), Kind::NotFound, "{missing:?}");
        Ok(())
    })
}

#[track_caller]
fn fails(server: &Served, sentence: &str, hint: &str) {
    let error = visit(server, false).unwrap_err();
    assert!(error.to_string().contains(sentence), "{error:?}");
    assert!(error.hint().is_some_and(|said| said.contains(hint)), "{error:?}");
}

#[test]
fn a_server_is_believed_that_the_folders_authority_vouches_for() {
    let (authority, other) = (Authority::new("one"), Authority::new("other"));
    let server = server(&authority.sign(&["127.0.0.1"]), None);
    visit(&server, false).unwrap();
    let folder = folder_of(&server);
    trust(&folder, &other);
    fails(&server, "is not trusted", "ca.crt");
    visit(&server, true).unwrap();
    trust(&folder, &authority);
    visit(&server, false).unwrap();
    // Who speaks without encryption gets no answer that could be taken for one.
    let plain = wharf_testkit::served::request(&server.address, "GET", "/v2/", &[], b"");
    assert!(plain.is_err(), "{plain:?}");
}

#[test]
fn a_certificate_for_others_or_of_old_is_told_from_a_wrong_authority() {
    let authority = Authority::new("one");
    for (certificate, sentence) in [
        (authority.sign(&["registry.test"]), "is for another name"),
        (authority.sign_until(&["127.0.0.1"], 2021), "has expired"),
    ] {
        let server = server(&certificate, None);
        trust(&folder_of(&server), &authority);
        fails(&server, sentence, "");
    }
}

#[test]
fn clients_are_let_in_by_their_certificate() {
    let (authority, of_clients) = (Authority::new("one"), Authority::new("clients"));
    let server = server(&authority.sign(&["127.0.0.1"]), Some(&of_clients));
    let folder = folder_of(&server);
    trust(&folder, &authority);
    fails(&server, "wants another certificate of this client", "client.cert");
    let show = |signed: Signed| {
        std::fs::write(folder.join("client.cert"), signed.certificate).unwrap();
        std::fs::write(folder.join("client.key"), signed.key).unwrap();
    };
    show(authority.sign(&[]));
    fails(&server, "wants another certificate of this client", "client.cert");
    show(of_clients.sign(&[]));
    visit(&server, false).unwrap();
    std::fs::write(folder.join("client.key"), of_clients.sign(&[]).key).unwrap();
    let error = visit(&server, false).unwrap_err();
    assert!(error.to_string().contains("do not belong together"), "{error:?}");
}

#[test]
fn a_new_certificate_counts_without_a_restart() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let server = server(&old.sign(&["127.0.0.1"]), None);
    let folder = folder_of(&server);
    trust(&folder, &new);
    fails(&server, "is not trusted", "ca.crt");
    // Half a renewal, a certificate without its key, changes nothing.
    let renewed = new.sign(&["127.0.0.1"]);
    std::fs::write(server.folder.path().join("server.pem"), &renewed.certificate).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    fails(&server, "is not trusted", "ca.crt");
    std::fs::write(server.folder.path().join("server.key.pem"), &renewed.key).unwrap();
    crate::fixture::eventually("the new certificate counts", || visit(&server, false).is_ok());
}
