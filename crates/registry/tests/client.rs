//! The client against a registry that misbehaves to order.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the place and the reason")]

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use wharf_registry::client::{Access, Blob, Credentials, Proxies, Registry, Repository, Settings, Source};
use wharf_testkit::registry::{Auth, Faults, FaultyRegistry, INDEX, noise};
use wharf_types::{Digest, Error, Kind, Result};

const MEGABYTE: usize = 1 << 20;

fn client() -> Registry {
    Registry::new(Settings { attempts: 3, ..Settings::default() })
}

fn person(username: &str, password: &str) -> Credentials {
    Credentials { username: username.into(), password: password.into(), ..Credentials::default() }
}

fn open(registry: &FaultyRegistry, access: Access) -> Repository {
    client().repository(&registry.address(), "team/app", &Credentials::default(), access).unwrap()
}

/// Downloads a blob from some byte on.
async fn download(repository: &Repository, digest: &str, size: usize, from: u64) -> Result<Vec<u8>> {
    let blob = Blob { digest: digest.parse().unwrap(), size: size as u64, urls: Vec::new() };
    fetch(repository, &blob, from).await
}

async fn fetch(repository: &Repository, blob: &Blob, from: u64) -> Result<Vec<u8>> {
    let (sender, mut receiver) = mpsc::channel::<bytes::Bytes>(4);
    let collect = async {
        let mut bytes = Vec::new();
        while let Some(piece) = receiver.recv().await {
            bytes.extend_from_slice(&piece);
        }
        bytes
    };
    let work = async {
        let result = repository.download(blob, from, &sender).await;
        drop(sender);
        result
    };
    let (result, bytes) = tokio::join!(work, collect);
    result.map(|()| bytes)
}

#[tokio::test]
async fn a_download_that_is_cut_again_and_again_sends_no_byte_twice() {
    let registry = FaultyRegistry::start();
    let content = noise(4 * MEGABYTE, 1);
    let digest = registry.blob(content.clone());
    registry.set(Faults { cut_after: Some(300_000), ..Faults::default() });
    let got = download(&open(&registry, Access::Pull), &digest, content.len(), 0).await.unwrap();
    assert!(got == content);
    assert!(registry.sent() as f64 <= 1.02 * content.len() as f64, "{} of {}", registry.sent(), content.len());
    assert!(registry.count("GET", "/blobs/") > 10);
}

#[tokio::test]
async fn a_download_goes_on_where_an_earlier_one_stopped() {
    let registry = FaultyRegistry::start();
    let content = noise(MEGABYTE, 2);
    let digest = registry.blob(content.clone());
    let got = download(&open(&registry, Access::Pull), &digest, content.len(), 700_000).await.unwrap();
    assert!(got == content[700_000..]);
    assert_eq!(registry.sent(), (content.len() - 700_000) as u64);
}

#[tokio::test]
async fn refusals_are_waited_out_and_those_without_end_reported() {
    let registry = FaultyRegistry::start();
    let digest = registry.blob(b"content".to_vec());
    let repository = open(&registry, Access::Pull);
    registry.set(Faults { refuse: [429, 500].into(), retry_after: Some(1), ..Faults::default() });
    assert_eq!(download(&repository, &digest, 7, 0).await.unwrap(), b"content");
    assert_eq!(registry.count("GET", "/blobs/"), 3);
    registry.set(Faults { refuse: [503; 9].into(), ..Faults::default() });
    assert!(download(&repository, &digest, 7, 0).await.unwrap_err().to_string().contains("503"));
    registry.set(Faults { refuse: [429; 9].into(), retry_after: Some(7200), ..Faults::default() });
    let error = download(&repository, &digest, 7, 0).await.unwrap_err();
    assert!(error.hint().unwrap().contains("7200"), "{error:?}");
    assert_eq!(registry.count("GET", "/blobs/"), 7, "it is not asked again when it wants to be left alone for long");
}

#[tokio::test]
async fn lies_about_ranges_and_registries_without_them_do_no_harm() {
    let registry = FaultyRegistry::start();
    let content = noise(MEGABYTE, 3);
    let digest = registry.blob(content.clone());
    let repository = open(&registry, Access::Pull);
    for faults in [
        Faults { lie: 1, ..Faults::default() },
        Faults { lie: 9, ..Faults::default() },
        Faults { no_ranges: true, ..Faults::default() },
    ] {
        registry.set(faults);
        assert!(download(&repository, &digest, content.len(), 500_001).await.unwrap() == content[500_001..]);
    }
}

#[tokio::test]
async fn a_wrong_length_is_an_error() {
    let registry = FaultyRegistry::start();
    let digest = registry.blob(noise(1000, 4));
    for misstate in [-10, 10] {
        registry.set(Faults { misstate, ..Faults::default() });
        let error = download(&open(&registry, Access::Pull), &digest, 1000, 0).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{error:?}");
    }
    registry.set(Faults::default());
    assert!(download(&open(&registry, Access::Pull), &digest, 900, 0).await.is_err());
}

#[tokio::test]
async fn a_manifest_that_is_another_one_is_refused() {
    let registry = FaultyRegistry::start();
    let digest = registry.manifest("team/app", "1", INDEX, b"{\"manifests\":[]}".to_vec());
    let repository = open(&registry, Access::Pull);
    assert_eq!(repository.manifest("1").await.unwrap().digest.to_string(), digest);
    assert_eq!(repository.resolve("1").await.unwrap().unwrap().digest.to_string(), digest);
    let other = Digest::of(b"other").to_string();
    registry.manifest("team/app", &other, INDEX, b"{}".to_vec());
    assert_eq!(repository.manifest(&other).await.unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(repository.resolve("2").await.unwrap_err().to_string(), "manifest unknown: manifest unknown");
    assert_eq!(repository.tags().await.unwrap(), ["1"]);
}

#[tokio::test]
async fn tokens_are_fetched_kept_and_renewed() {
    let registry = FaultyRegistry::start();
    let content = noise(MEGABYTE, 5);
    let digest = registry.blob(content.clone());
    registry.manifest("team/app", "1", INDEX, b"{}".to_vec());
    let auth = Auth::Token(3, Some(("me".into(), "secret".into())));
    registry.set(Faults { auth, cut_after: Some(200_000), ..Faults::default() });
    let client = client();
    let repository = client.repository(&registry.address(), "team/app", &person("me", "secret"), Access::Pull).unwrap();
    for _ in 0..3 {
        repository.resolve("1").await.unwrap();
    }
    assert_eq!(registry.count("GET", "/token"), 1, "one token is good for several requests");
    assert!(download(&repository, &digest, content.len(), 0).await.unwrap() == content);
    assert!(registry.count("GET", "/token") >= 2, "what has run out is renewed in the middle of a download");
    let scope = registry.requests().into_iter().find(|request| request.path == "/token").unwrap().parameter("scope");
    assert_eq!(scope.as_deref(), Some("repository:team/app:pull"));
    let stranger = client.repository(&registry.address(), "team/app", &person("me", "wrong"), Access::Pull).unwrap();
    let error = stranger.resolve("1").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert!(error.to_string().contains("incorrect username or password"), "{error:?}");
}

#[tokio::test]
async fn login_says_whether_the_registry_knows_one() {
    let registry = FaultyRegistry::start();
    registry.set(Faults { auth: Auth::Basic("me".into(), "secret".into()), ..Faults::default() });
    let client = client();
    client.login(&registry.address(), &person("me", "secret")).await.unwrap();
    for wrong in [person("me", "wrong"), Credentials::default()] {
        let error = client.login(&registry.address(), &wrong).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthorized);
        assert!(error.hint().unwrap().contains("wharf login"), "{error:?}");
    }
    let auth = Auth::Token(9, Some(("me".into(), "secret".into())));
    registry.set(Faults { auth, ..Faults::default() });
    let logged_in = client.login(&registry.address(), &person("me", "secret")).await.unwrap();
    assert_eq!(logged_in.identity_token.as_deref(), Some("lasting"));
}

#[tokio::test]
async fn a_lasting_token_stands_for_the_password() {
    let registry = FaultyRegistry::start();
    registry.manifest("team/app", "1", INDEX, b"{}".to_vec());
    let auth = Auth::Token(2, Some(("me".into(), "secret".into())));
    registry.set(Faults { auth, ..Faults::default() });
    let with = |token: &str| {
        let credentials = Credentials { username: "me".into(), identity_token: token.into(), ..Credentials::default() };
        client().repository(&registry.address(), "team/app", &credentials, Access::Pull).unwrap()
    };
    let repository = with("lasting");
    for _ in 0..5 {
        repository.resolve("1").await.unwrap();
    }
    assert!(registry.count("POST", "/token") >= 2 && registry.count("GET", "/token") == 0, "{:?}", registry.requests());
    let error = with("of yesterday").resolve("1").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{error:?}");
    assert!(error.to_string().contains("none of ours") && error.hint().unwrap().contains("wharf login"), "{error:?}");
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_host() {
    let (registry, elsewhere) = (FaultyRegistry::start(), FaultyRegistry::start());
    let digest = registry.blob(b"content".to_vec());
    elsewhere.blob(b"content".to_vec());
    let redirect = Some(format!("http://{}", elsewhere.address()));
    let auth = Auth::Basic("me".into(), "secret".into());
    registry.set(Faults { redirect, auth, ..Faults::default() });
    let repository =
        client().repository(&registry.address(), "team/app", &person("me", "secret"), Access::Pull).unwrap();
    assert_eq!(download(&repository, &digest, 7, 0).await.unwrap(), b"content");
    assert!(registry.requests().iter().any(|request| request.header("authorization").is_some()));
    assert_eq!(elsewhere.requests().len(), 1);
    assert!(elsewhere.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[tokio::test]
async fn foreign_layers_come_from_their_address_without_credentials() {
    let (registry, elsewhere) = (FaultyRegistry::start(), FaultyRegistry::start());
    let digest = elsewhere.blob(b"content".to_vec());
    registry.set(Faults { auth: Auth::Basic("me".into(), "secret".into()), ..Faults::default() });
    let repository =
        client().repository(&registry.address(), "team/app", &person("me", "secret"), Access::Pull).unwrap();
    let urls = vec![format!("http://{}/v2/x/blobs/{digest}", elsewhere.address())];
    let blob = Blob { digest: digest.parse().unwrap(), size: 7, urls };
    assert_eq!(fetch(&repository, &blob, 0).await.unwrap(), b"content");
    assert!(elsewhere.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[tokio::test]
async fn mirrors_come_first_and_the_registry_is_there_when_they_fail() {
    let (mirror, origin) = (FaultyRegistry::start(), FaultyRegistry::start());
    for registry in [&mirror, &origin] {
        registry.manifest("library/app", "1", INDEX, b"{}".to_vec());
    }
    let folder = tempfile::tempdir().unwrap();
    let hub = folder.path().join("docker.io");
    std::fs::create_dir(&hub).unwrap();
    // What stands for Docker Hub, and three mirrors: one that nobody listens on, one that works, one never needed.
    std::fs::write(hub.join("hosts.toml"), format!("server = \"http://{}\"\n", origin.address())).unwrap();
    let mirrors = ["http://127.0.0.1:9".to_owned(), format!("http://{}", mirror.address())];
    let mirrors = mirrors.iter().map(|url| url.parse().unwrap()).collect();
    let settings = Settings { mirrors, hosts_dirs: vec![folder.path().to_owned()], attempts: 2, ..Settings::default() };
    let client = Registry::new(settings);
    let credentials = person("me", "secret");
    let repository = client.repository("docker.io", "library/app", &credentials, Access::Pull).unwrap();
    repository.manifest("1").await.unwrap();
    assert_eq!((mirror.requests().len(), origin.requests().len()), (1, 0));
    origin.manifest("library/app", "2", INDEX, b"{ }".to_vec());
    repository.manifest("2").await.unwrap();
    assert_eq!(origin.count("GET", "/v2/library/app/manifests/2"), 1);
    let shown = |request: &wharf_testkit::registry::Request| request.header("authorization").map(str::to_owned);
    assert!(mirror.requests().iter().all(|request| shown(request).is_none()));
}

#[tokio::test]
async fn a_proxy_is_used_but_not_for_the_loopback() {
    let (proxy, registry) = (FaultyRegistry::start(), FaultyRegistry::start());
    registry.manifest("team/app", "1", INDEX, b"{}".to_vec());
    let http = Some(format!("http://{}", proxy.address()));
    let proxies = Proxies { https: http.clone(), http, except: Some("direct.invalid,10.0.0.0/8".to_owned()) };
    let insecure = vec!["registry.invalid".to_owned()];
    let hosts = tempfile::tempdir().unwrap();
    std::fs::create_dir(hosts.path().join("registry.invalid")).unwrap();
    std::fs::write(hosts.path().join("registry.invalid/hosts.toml"), "server = \"http://registry.invalid\"").unwrap();
    let hosts_dirs = vec![hosts.path().to_owned()];
    let client = Registry::new(Settings { proxies, insecure, hosts_dirs, attempts: 1, ..Settings::default() });
    let direct = client.repository(&registry.address(), "team/app", &Credentials::default(), Access::Pull).unwrap();
    direct.resolve("1").await.unwrap();
    assert_eq!(proxy.requests().len(), 0);
    let distant = client.repository("registry.invalid", "team/app", &Credentials::default(), Access::Pull).unwrap();
    distant.resolve("1").await.unwrap_err();
    assert!(proxy.requests()[0].path.contains("registry.invalid"), "{:?}", proxy.requests());
    // Encrypted connections are asked for by name, and the proxy sees nothing else of them.
    let secret = client.repository("secret.invalid", "team/app", &Credentials::default(), Access::Pull).unwrap();
    secret.resolve("1").await.unwrap_err();
    let last = proxy.requests().pop().unwrap();
    assert_eq!((last.method.as_str(), last.path.as_str()), ("CONNECT", "secret.invalid:443"));
    let count = proxy.requests().len();
    let direct = client.repository("direct.invalid", "team/app", &Credentials::default(), Access::Pull).unwrap();
    let error = direct.resolve("1").await.unwrap_err();
    assert!(error.to_string().contains("direct.invalid"), "{error:?}");
    assert_eq!(proxy.requests().len(), count, "it is among those that are reached directly");
}

struct Memory(Vec<u8>);

impl Source for Memory {
    fn open(&self, at: u64) -> std::io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(std::io::Cursor::new(self.0[at as usize..].to_vec())))
    }
}

async fn upload(repository: &Repository, content: &[u8]) -> Result<Digest, Error> {
    let (digest, source) = (Digest::of(content), Arc::new(Memory(content.to_vec())) as Arc<dyn Source>);
    repository.upload(digest, content.len() as u64, None, &source, &|_| {}).await.map(|()| digest)
}

#[tokio::test]
async fn uploads_arrive_small_large_and_after_cuts() {
    let registry = FaultyRegistry::start();
    let repository = open(&registry, Access::Push);
    for (len, cut_upload) in [(10, None), (3 * MEGABYTE, None), (3 * MEGABYTE + 1, Some(400_000))] {
        registry.set(Faults { cut_upload, ..Faults::default() });
        let content = noise(len, len as u64);
        let digest = upload(&repository, &content).await.unwrap();
        assert!(registry.stored(&digest.to_string()).unwrap() == content, "{len}");
        assert_eq!(repository.blob_size(&digest).await.unwrap(), Some(len as u64));
    }
    assert!(registry.count("GET", "/blobs/uploads/") >= 1, "after a cut the registry is asked how far it has come");
    assert_eq!(repository.blob_size(&Digest::of(b"nothing")).await.unwrap(), None);
}

#[tokio::test]
async fn a_silent_host_name_is_explained() {
    let client = client();
    let repository = client.repository("nosuch.invalid", "a", &Credentials::default(), Access::Pull).unwrap();
    let unknown = tokio::time::timeout(Duration::from_secs(60), repository.resolve("1")).await.unwrap().unwrap_err();
    assert!(unknown.to_string().contains("nosuch.invalid") && unknown.hint().is_some(), "{unknown:?}");
    let refused = client.repository("127.0.0.1:9", "a", &Credentials::default(), Access::Pull).unwrap();
    assert!(refused.resolve("1").await.unwrap_err().to_string().contains("cannot connect to 127.0.0.1:9"));
}
