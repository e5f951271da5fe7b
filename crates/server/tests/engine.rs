//! The API of an engine of the test's own, through the client: everything that needs no container.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests, which fail with the place")]

use std::future::pending;

use wharf_client::{Client, Endpoint, EventOptions, ImportOptions, Upload};
use wharf_engine::{Config, Engine};
use wharf_server::{Host, Listener};
use wharf_types::Kind;

struct Fixture {
    client: Client,
    engine: Engine,
    _dir: tempfile::TempDir,
}

/// `None`, said aloud, where the test may not have an engine.
async fn fixture() -> Option<Fixture> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: an engine needs root");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("wharf.sock");
    let listener = Listener::bind(&Host::Unix(socket.clone())).unwrap();
    let engine = Engine::open(Config::new(dir.path().join("root"), dir.path().join("run"))).await.unwrap();
    tokio::spawn(wharf_server::serve(engine.clone(), vec![listener], pending()));
    Some(Fixture { client: Client::new(Endpoint::Unix(socket)), engine, _dir: dir })
}

#[tokio::test]
async fn an_empty_engine_answers() {
    let Some(fixture) = fixture().await else { return };
    let client = &fixture.client;
    assert_eq!(client.ping().await.unwrap().os_type, "linux");
    assert_eq!(client.version().await.unwrap().api_version, "1.55");
    assert_eq!(client.info().await.unwrap().containers, 0);
    assert!(client.container_list(&Default::default()).await.unwrap().is_empty());
    assert!(client.image_list(&Default::default()).await.unwrap().is_empty());
    let names: Vec<_> = client.network_list(&Default::default()).await.unwrap().into_iter().map(|n| n.name).collect();
    assert_eq!(names, ["bridge", "host", "none"]);
    assert_eq!(client.disk_usage(&[]).await.unwrap().image_usage.unwrap().total_count, 0);
    let error = client.container_inspect("nobody", false).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::NotFound, "No such container: nobody"));
    let error = client.image_commit(&Default::default(), &Default::default()).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::NotImplemented | Kind::NotFound | Kind::InvalidParameter), "{error:?}");
    fixture.engine.close().await;
}

#[tokio::test]
async fn volumes_come_and_go_and_events_tell() {
    let Some(fixture) = fixture().await else { return };
    let client = &fixture.client;
    let mut events = client.events(&EventOptions::default()).await.unwrap();
    let request = wharf_api::volume::CreateRequest { name: "data".into(), ..Default::default() };
    assert_eq!(client.volume_create(&request).await.unwrap().driver, "local");
    let event = events.next().await.unwrap().unwrap();
    assert_eq!((event.kind.as_str(), event.action.as_str(), event.actor.id.as_str()), ("volume", "create", "data"));
    assert_eq!(client.volume_list(&Default::default()).await.unwrap().volumes.len(), 1);
    client.volume_remove("data", false).await.unwrap();
    assert_eq!(client.volume_remove("data", false).await.unwrap_err().kind(), Kind::NotFound);
    client.volume_remove("data", true).await.unwrap();
    fixture.engine.close().await;
}

#[tokio::test]
async fn an_image_is_imported_named_saved_and_loaded_again() {
    let Some(fixture) = fixture().await else { return };
    let client = &fixture.client;
    let options =
        ImportOptions { repository: "a/tiny:1".into(), changes: vec!["CMD [\"x\"]".into()], ..Default::default() };
    let empty_archive = Upload::from_reader(&[0u8; 1024][..]);
    let mut progress = client.image_import(&options, empty_archive).await.unwrap();
    let id = progress.next_progress().await.unwrap().unwrap().status.unwrap();
    assert!(id.starts_with("sha256:"), "{id}");
    let image = client.image_inspect("a/tiny:1").await.unwrap();
    assert_eq!((image.id.as_str(), &image.config.unwrap().cmd[..]), (id.as_str(), &["x".to_owned()][..]));
    client.image_tag(&id, "other", "2").await.unwrap();
    let mut saved = Vec::new();
    client.image_save(&["other:2".to_owned()], None).await.unwrap().copy_to(&mut saved).await.unwrap();
    for name in ["other:2", "a/tiny:1"] {
        client.image_remove(name, false, false).await.unwrap();
    }
    assert_eq!(client.image_inspect("other:2").await.unwrap_err().kind(), Kind::NotFound);
    let cut = Upload::from_reader(std::io::Cursor::new(saved[..saved.len() / 3].to_vec()));
    let mut lines = client.image_load(true, None, cut).await.unwrap();
    assert!(lines.next_progress().await.unwrap().is_err());
    let mut lines = client.image_load(true, None, Upload::from_reader(std::io::Cursor::new(saved))).await.unwrap();
    assert_eq!(lines.next_progress().await.unwrap().unwrap().stream.as_deref(), Some("Loaded image: other:2\n"));
    assert_eq!(client.image_inspect("other:2").await.unwrap().id, id);
    fixture.engine.close().await;
}
