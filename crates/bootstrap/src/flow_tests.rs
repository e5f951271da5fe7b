//! The whole way from a mirror to an image, with a mirror and an engine made for the test.

use crate::test_mirror::TestMirror;
use crate::testing::{DebBuilder, TestKey};
use crate::{ByteStream, ContainerRequest, ExistingImage, ImportRequest, Options, Outcome, Refresh, Target, bootstrap};
use futures_util::StreamExt;
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use wharf_types::{Error, Kind, Result};

/// An engine that keeps everything in memory; its containers do not run anything.
#[derive(Default)]
struct TestEngine {
    images: Mutex<BTreeMap<String, (ImportRequest, Vec<u8>)>>,
    containers: Mutex<HashMap<String, ContainerRequest>>,
    exit_code: i64,
    hangs: bool,
}

impl Target for TestEngine {
    async fn image(&self, name: &str) -> Result<Option<ExistingImage>> {
        let images = self.images.lock().unwrap();
        let bears = |request: &ImportRequest| {
            request.name.as_ref().is_some_and(|(repository, tag)| format!("{repository}:{tag}") == name)
        };
        Ok(images.iter().find(|(_, (request, _))| bears(request)).map(|(id, (request, _))| {
            let label = |change: &String| {
                let (name, value) = change.strip_prefix("LABEL ")?.split_once('=')?;
                Some((name.to_owned(), value.trim_matches('"').to_owned()))
            };
            ExistingImage { id: id.clone(), labels: request.changes.iter().filter_map(label).collect() }
        }))
    }

    async fn import(&self, request: ImportRequest, mut archive: ByteStream) -> Result<String> {
        let mut content = Vec::new();
        while let Some(piece) = archive.next().await {
            content.extend_from_slice(&piece?);
        }
        let mut images = self.images.lock().unwrap();
        for (earlier, _) in
            images.values_mut().filter(|(earlier, _)| request.name.is_some() && earlier.name == request.name)
        {
            earlier.name = None;
        }
        let id = format!("sha256:{}{}", wharf_types::Digest::of(&content).hex(), images.len());
        images.insert(id.clone(), (request, content));
        Ok(id)
    }

    async fn create(&self, request: ContainerRequest) -> Result<()> {
        self.containers.lock().unwrap().insert(request.name.clone(), request);
        Ok(())
    }

    async fn start(&self, _container: &str) -> Result<()> {
        Ok(())
    }

    async fn wait(&self, _container: &str) -> Result<i64> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Ok(self.exit_code)
    }

    async fn logs(&self, _container: &str, _lines: usize) -> Result<String> {
        Ok("dpkg: something is wrong\n".to_owned())
    }

    async fn export(&self, container: &str) -> Result<ByteStream> {
        let image = self.containers.lock().unwrap()[container].image.clone();
        let content = self.images.lock().unwrap()[&image].1.clone();
        Ok(Box::pin(futures_util::stream::iter([Ok(content.into())])))
    }

    async fn remove_container(&self, container: &str) -> Result<()> {
        let removed = self.containers.lock().unwrap().remove(container);
        removed.map(drop).ok_or_else(|| Error::not_found("no such container"))
    }

    async fn remove_image(&self, image: &str) -> Result<()> {
        let removed = self.images.lock().unwrap().remove(image);
        removed.map(drop).ok_or_else(|| Error::not_found("no such image"))
    }
}

struct Setting {
    mirror: TestMirror,
    key: TestKey,
    engine: TestEngine,
    folder: tempfile::TempDir,
}

impl Setting {
    fn new() -> Self {
        let setting = Self {
            mirror: TestMirror::new(),
            key: TestKey::new(),
            engine: TestEngine::default(),
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(setting.folder.path().join("keys"), setting.key.public()).unwrap();
        setting.mirror.publish(&setting.key, packages("1"));
        setting
    }

    fn options(&self) -> Options {
        let mut options = Options::new("tiny:test", self.folder.path().join("cache")).unwrap();
        options.host_root = self.folder.path().join("host");
        options.mirror = Some(self.mirror.uri());
        options.keyring = Some(self.folder.path().join("keys"));
        options
    }

    async fn run(&self, options: Options) -> Result<Outcome> {
        bootstrap(&self.engine, options, Arc::new(()), CancellationToken::new()).await
    }

    fn assert_nothing_left(&self, images: usize) {
        assert_eq!(self.engine.containers.lock().unwrap().len(), 0, "containers");
        assert_eq!(self.engine.images.lock().unwrap().len(), images, "images");
    }

    fn files(&self, image: &str) -> HashMap<String, String> {
        let images = self.engine.images.lock().unwrap();
        let mut archive = tar::Archive::new(&images[image].1[..]);
        let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let (mut entry, mut content) = (entry.unwrap(), Vec::new());
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), String::from_utf8_lossy(&content).into_owned())
        };
        archive.entries().unwrap().map(read).collect()
    }
}

fn packages(version: &str) -> Vec<DebBuilder> {
    vec![
        DebBuilder::new("base-files", version)
            .field("Essential: yes")
            .folder("./usr/")
            .folder("./etc/")
            .file("./etc/issue", "tiny\n"),
        DebBuilder::new("dash", "1")
            .field("Priority: required")
            .script("preinst", "#!/bin/sh\n")
            .file("./bin/sh", "shell"),
        DebBuilder::new("apt", "1").field("Depends: libapt (>= 1)").file("./usr/bin/apt", "apt"),
        DebBuilder::new("libapt", "1").file("./usr/lib/libapt", "library"),
        DebBuilder::new("extra", "1").field("Depends: helper").file("./usr/bin/extra", "extra"),
        DebBuilder::new("helper", "1").file("./usr/bin/helper", "helper"),
    ]
}

#[tokio::test]
async fn makes_an_image_and_leaves_nothing_else() {
    let setting = Setting::new();
    let outcome = setting.run(setting.options()).await.unwrap();
    assert!(!outcome.reused);
    assert_eq!(outcome.packages, 4);
    setting.assert_nothing_left(1);
    let files = setting.files(&outcome.image);
    assert_eq!(files["usr/bin/sh"], "shell");
    assert_eq!(files["usr/lib/libapt"], "library");
    assert!(files["etc/apt/sources.list.d/tiny.sources"].contains(&setting.mirror.uri()));
    assert!(files["var/lib/dpkg/status"].contains("Package: libapt\nStatus: install ok unpacked\n"));
    assert!(files.keys().all(|path| !path.starts_with("wharf-bootstrap") && !path.contains("extra")));
    let images = setting.engine.images.lock().unwrap();
    let request = &images[&outcome.image].0;
    assert_eq!(request.name, Some(("tiny".to_owned(), "test".to_owned())));
    assert!(request.changes.contains(&"CMD [\"bash\"]".to_owned()));
    assert!(request.changes.contains(&"LABEL io.wharf.bootstrap.suite=\"tiny:test\"".to_owned()));
}

#[tokio::test]
async fn the_second_time_asks_nobody() {
    let setting = Setting::new();
    let first = setting.run(setting.options()).await.unwrap();
    setting.mirror.take_requests();
    let second = setting.run(setting.options()).await.unwrap();
    assert!(second.reused && second.image == first.image);
    assert!(setting.mirror.take_requests().is_empty());
    let mut other = setting.options();
    other.include = vec!["extra".to_owned()];
    assert!(!setting.run(other).await.unwrap().reused);
    setting.assert_nothing_left(2);
}

#[tokio::test]
async fn an_update_builds_only_what_has_changed() {
    let setting = Setting::new();
    let first = setting.run(setting.options()).await.unwrap();
    let mut options = setting.options();
    options.refresh = Refresh::IfChanged;
    assert!(setting.run(options.clone()).await.unwrap().reused);
    setting.mirror.publish(&setting.key, packages("2"));
    setting.mirror.take_requests();
    let second = setting.run(options).await.unwrap();
    assert!(!second.reused && second.image != first.image);
    let fetched: Vec<_> = setting.mirror.take_requests().into_iter().filter(|path| path.contains("/pool/")).collect();
    assert_eq!(fetched, ["/debian/pool/base-files.deb"]);
    setting.assert_nothing_left(1);
}

#[tokio::test]
async fn included_packages_wait_for_the_container() {
    let setting = Setting::new();
    let mut options = setting.options();
    options.include = vec!["extra".to_owned()];
    let engine = TestEngine { exit_code: 7, ..TestEngine::default() };
    let error = bootstrap(&engine, options, Arc::new(()), CancellationToken::new()).await.unwrap_err();
    assert!(
        error.to_string().contains("exit code 7") && error.to_string().contains("dpkg: something is wrong"),
        "{error:?}"
    );
    assert!(engine.images.lock().unwrap().is_empty() && engine.containers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_interruption_leaves_nothing() {
    let setting = Setting::new();
    let engine = TestEngine { hangs: true, ..TestEngine::default() };
    let cancel = CancellationToken::new();
    let work = bootstrap(&engine, setting.options(), Arc::new(()), cancel.clone());
    let stop = async {
        while engine.containers.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(work, stop);
    assert!(result.unwrap_err().to_string().contains("interrupted"));
    assert!(engine.images.lock().unwrap().is_empty() && engine.containers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_stopped() {
    let setting = Setting::new();
    setting.mirror.cut_once("pool/libapt.deb");
    setting.run(setting.options()).await.unwrap();
    let requests = setting.mirror.take_requests();
    assert!(requests.iter().any(|path| path.starts_with("/debian/pool/libapt.deb from ")), "{requests:?}");
}

#[tokio::test]
async fn a_changed_package_is_refused() {
    let setting = Setting::new();
    let other = DebBuilder::new("libapt", "1").file("./usr/lib/libapt", "malware").build();
    setting.mirror.put("pool/libapt.deb", other);
    let error = setting.run(setting.options()).await.unwrap_err();
    assert!(error.chain().contains("cannot get the package libapt"), "{error:?}");
    setting.assert_nothing_left(0);
}

#[tokio::test]
async fn a_changed_index_or_release_is_refused() {
    let setting = Setting::new();
    let index = setting.mirror.put_packages(packages("9"));
    let release = setting.mirror.release(&index, "");
    let error = setting.run(setting.options()).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Corrupt | Kind::Unavailable), "{error:?}");
    setting.mirror.put("dists/test/InRelease", TestKey::new().clearsign(&release));
    let error = setting.run(setting.options()).await.unwrap_err();
    assert!(error.kind() == Kind::Forbidden && error.hint().unwrap().contains("--keyring"), "{error:?}");
    setting.mirror.put("dists/test/InRelease", setting.key.clearsign(&release).replace("Suite: test", "Suite: best"));
    assert_eq!(setting.run(setting.options()).await.unwrap_err().kind(), Kind::Corrupt);
    setting.mirror.put("dists/test/InRelease", setting.key.clearsign(&release.replace(": test", ": best")));
    assert!(setting.run(setting.options()).await.unwrap_err().to_string().contains("another suite"));
    setting.assert_nothing_left(0);
}

#[tokio::test]
async fn an_outdated_release_is_refused_unless_that_is_wanted() {
    let setting = Setting::new();
    let index = setting.mirror.put_packages(packages("1"));
    let release = setting.mirror.release(&index, "Valid-Until: Sat, 01 Jan 2000 00:00:00 UTC\n");
    setting.mirror.put("dists/test/InRelease", setting.key.clearsign(&release));
    let mut options = setting.options();
    assert!(setting.run(options.clone()).await.unwrap_err().to_string().contains("out of date"));
    options.check_valid_until = false;
    assert!(setting.run(options).await.is_ok());
}

#[tokio::test]
async fn a_detached_signature_will_do_and_none_will_not() {
    let setting = Setting::new();
    let index = setting.mirror.put_packages(packages("1"));
    let release = setting.mirror.release(&index, "");
    setting.mirror.remove("dists/test/InRelease");
    let error = setting.run(setting.options()).await.unwrap_err();
    assert!(error.kind() == Kind::NotFound && error.chain().contains("does not have this suite"), "{error:?}");
    setting.mirror.put("dists/test/Release", release.clone());
    let error = setting.run(setting.options()).await.unwrap_err();
    assert!(error.chain().contains("is not signed"), "{error:?}");
    setting.mirror.put("dists/test/Release.gpg", setting.key.sign(release.as_bytes()));
    setting.run(setting.options()).await.unwrap();
    setting.assert_nothing_left(1);
}

#[tokio::test]
async fn a_mirror_that_does_not_answer_is_named() {
    let setting = Setting::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut options = setting.options();
    options.mirror = Some(format!("http://{closed}/debian"));
    let error = setting.run(options).await.unwrap_err();
    assert!(error.kind() == Kind::Unavailable && error.chain().contains(&closed.to_string()), "{error:?}");
    assert!(error.hint().unwrap().contains("--mirror"));
}
