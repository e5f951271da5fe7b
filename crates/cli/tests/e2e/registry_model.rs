//! A registry under random use, with the collector at work and kills in between: nothing that is referenced is lost.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wharf_testkit::TempRegistry;
use wharf_testkit::bucket::TempBucket;
use wharf_testkit::served::{Reply, digest};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const REPOSITORIES: [&str; 2] = ["a", "b/c"];
/// The registry promises to keep for half of this what it has said to have.
const GRACE: Duration = Duration::from_millis(1600);
/// The same where every step is a request to a slow store that counts time in seconds.
const GRACE_OF_BUCKET: Duration = Duration::from_secs(8);

/// xorshift: the same run for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        (!all.is_empty()).then(|| all[self.below(all.len())].clone())
    }
}

#[derive(Debug, Clone)]
struct Known {
    blobs: BTreeMap<String, Vec<u8>>,
    parts: Vec<String>,
    subject: Option<String>,
    /// Nothing keeps it any more, so the collector may have taken it.
    released: bool,
}

#[derive(Debug, Default)]
struct Repository {
    manifests: BTreeMap<String, Known>,
    tags: BTreeMap<String, String>,
}

impl Repository {
    /// The indexes that a manifest is part of.
    fn wholes<'a>(&'a self, digest: &'a str) -> impl Iterator<Item = &'a String> {
        let contains = move |known: &Known| known.parts.iter().any(|part| part == digest);
        self.manifests.iter().filter(move |(_, known)| contains(known)).map(|(whole, _)| whole)
    }

    /// Whether the registry must have a manifest, given others that it must have.
    fn is_kept(&self, digest: &str, certain: &BTreeSet<String>) -> bool {
        let known = &self.manifests[digest];
        let subject = known.subject.as_ref().filter(|subject| self.manifests.contains_key(*subject));
        self.tags.values().any(|tagged| tagged == digest)
            || self.wholes(digest).any(|whole| certain.contains(whole))
            || subject.is_some_and(|subject| certain.contains(subject))
            // Nothing lets go of it, not even by being collected itself.
            || !known.released && subject.is_none() && self.wholes(digest).next().is_none()
    }

    /// What the registry must have, beginning with what depends on nothing.
    fn certain(&self) -> Vec<String> {
        let mut certain = BTreeSet::new();
        loop {
            let is_new = |digest: &&String| !certain.contains(*digest) && self.is_kept(digest, &certain);
            let more: Vec<String> = self.manifests.keys().filter(is_new).cloned().collect();
            if more.is_empty() {
                return certain.into_iter().collect();
            }
            certain.extend(more);
        }
    }
}

/// Asked in turn; whatever the store holds can be seen past them all.
struct Servers {
    registries: Vec<TempRegistry>,
    bucket: Option<TempBucket>,
    turn: Cell<usize>,
}

impl Servers {
    fn next(&self) -> &TempRegistry {
        self.turn.set(self.turn.get() + 1);
        &self.registries[self.turn.get() % self.registries.len()]
    }

    /// A blob's bytes; asking a registry for them would keep them.
    fn stored(&self, digest: &str) -> Option<Vec<u8>> {
        if let Some(bucket) = &self.bucket {
            return bucket.blob(digest);
        }
        let hex = digest.strip_prefix("sha256:").unwrap();
        std::fs::read(self.registries[0].root().join("blobs/sha256").join(&hex[..2]).join(hex)).ok()
    }
}

struct Model {
    servers: Servers,
    grace: Duration,
    random: Random,
    repositories: BTreeMap<&'static str, Repository>,
    counter: usize,
}

impl Model {
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.servers.next().request(method, path, headers, body).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    fn pause(&mut self) {
        let pause = self.random.below(60);
        std::thread::sleep(Duration::from_millis(pause as u64));
    }

    /// Sees that the repository has a blob, in one of the ways that clients know.
    fn ensure_blob(&mut self, name: &str, content: &[u8]) {
        let digest = digest(content);
        if self.send("HEAD", &format!("/v2/{name}/blobs/{digest}"), &[], b"").status == 200 {
            return;
        }
        let from = REPOSITORIES[self.random.below(2)];
        let reply = self.send("POST", &format!("/v2/{name}/blobs/uploads/?mount={digest}&from={from}"), &[], b"");
        if reply.status == 201 {
            return;
        }
        let location = reply.header("location").to_owned();
        let (first, second) = content.split_at(content.len() / 2);
        assert_eq!(self.send("PATCH", &location, &[], first).status, 202);
        if self.random.below(8) == 0 {
            self.restart();
        }
        let range = self.send("GET", &location, &[], b"").header("range").to_owned();
        assert_eq!(range, format!("0-{}", first.len() - 1), "an upload outlives the server");
        assert_eq!(self.send("PUT", &format!("{location}?digest={digest}"), &[], second).status, 201);
    }

    fn push(&mut self, name: &'static str, document: &Value, known: Known, tag: Option<String>) {
        let text = document.to_string();
        let own = digest(text.as_bytes());
        let began = Instant::now();
        let contents: Vec<Vec<u8>> = known.blobs.values().cloned().collect();
        for content in contents {
            self.ensure_blob(name, &content);
            self.pause();
        }
        let repository = &self.repositories[name];
        let parts: Vec<String> = known.parts.clone();
        let mut uncertain = false;
        for part in &parts {
            let there = self.send("HEAD", &format!("/v2/{name}/manifests/{part}"), &[], b"").status == 200;
            uncertain |= !there;
            assert!(there || !repository.certain().contains(part), "{name}@{part} is lost");
        }
        let reference = tag.clone().unwrap_or_else(|| own.clone());
        let media_type = document["mediaType"].as_str().unwrap();
        let path = format!("/v2/{name}/manifests/{reference}");
        let reply = self.send("PUT", &path, &[("Content-Type", media_type)], text.as_bytes());
        if reply.status != 201 {
            let late = began.elapsed() >= self.grace / 2;
            assert!(reply.status == 404 && (uncertain || late), "{path}: {} {}", reply.status, reply.text());
            return;
        }
        let repository = self.repositories.get_mut(name).unwrap();
        repository.manifests.insert(own.clone(), known);
        if let Some(tag) = tag {
            repository.tags.insert(tag, own);
        }
    }

    fn push_image(&mut self, subject: bool) {
        let name = REPOSITORIES[self.random.below(2)];
        let mut contents: Vec<Vec<u8>> = Vec::new();
        for _ in 0..=self.random.below(3) {
            contents.push(format!("layer {}", self.random.below(10)).into_bytes());
        }
        contents.dedup();
        let descriptor =
            |content: &Vec<u8>| json!({ "mediaType": "l", "digest": digest(content), "size": content.len() });
        let config = format!("config {}", self.random.below(6)).into_bytes();
        let layers: Vec<Value> = contents.iter().map(descriptor).collect();
        self.counter += 1;
        let mut document = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(&config), "layers": layers,
            "annotations": { "number": self.counter.to_string() },
        });
        let all = self.repositories[name].certain();
        let subject = self.random.of(&all).filter(|_| subject);
        if let Some(subject) = &subject {
            document["subject"] = json!({ "mediaType": MANIFEST, "digest": subject, "size": 1 });
        }
        contents.push(config);
        let blobs = contents.into_iter().map(|content| (digest(&content), content)).collect();
        let tag = (self.random.below(3) > 0).then(|| format!("t{}", self.random.below(6)));
        self.push(name, &document, Known { blobs, parts: Vec::new(), subject, released: false }, tag);
    }

    fn push_index(&mut self) {
        let name = REPOSITORIES[self.random.below(2)];
        let images: Vec<String> = self.repositories[name].manifests.keys().cloned().collect();
        let (Some(one), Some(two)) = (self.random.of(&images), self.random.of(&images)) else { return };
        let mut parts = vec![one, two];
        parts.dedup();
        self.counter += 1;
        let descriptors: Vec<Value> =
            parts.iter().map(|part| json!({ "mediaType": MANIFEST, "digest": part, "size": 1 })).collect();
        let document = json!({
            "schemaVersion": 2, "mediaType": INDEX, "manifests": descriptors,
            "annotations": { "number": self.counter.to_string() },
        });
        let tag = (self.random.below(2) > 0).then(|| format!("i{}", self.random.below(3)));
        self.push(name, &document, Known { blobs: BTreeMap::new(), parts, subject: None, released: false }, tag);
    }

    fn delete_tag(&mut self) {
        let name = REPOSITORIES[self.random.below(2)];
        let tags: Vec<String> = self.repositories[name].tags.keys().cloned().collect();
        let Some(tag) = self.random.of(&tags) else { return };
        assert_eq!(self.send("DELETE", &format!("/v2/{name}/manifests/{tag}"), &[], b"").status, 202);
        self.repositories.get_mut(name).unwrap().tags.remove(&tag);
    }

    fn delete_manifest(&mut self) {
        let name = REPOSITORIES[self.random.below(2)];
        let all = self.repositories[name].certain();
        let Some(own) = self.random.of(&all) else { return };
        let repository = &self.repositories[name];
        let is_part = repository.wholes(&own).next().is_some();
        let is_surely = repository.wholes(&own).any(|whole| all.contains(whole));
        let reply = self.send("DELETE", &format!("/v2/{name}/manifests/{own}"), &[], b"");
        let repository = self.repositories.get_mut(name).unwrap();
        if reply.status == 405 && is_part {
            return;
        }
        assert!(reply.status == 202 && !is_surely, "{name}@{own}: {} {}", reply.status, reply.text());
        let gone = repository.manifests.remove(&own).unwrap();
        repository.tags.retain(|_, tagged| *tagged != own);
        for (digest, known) in &mut repository.manifests {
            if gone.parts.contains(digest) || known.subject.as_ref() == Some(&own) {
                known.released = true;
            }
        }
    }

    fn restart(&mut self) {
        let number = self.random.below(self.servers.registries.len());
        self.servers.registries[number].kill9();
        self.servers.registries[number].restart();
    }

    /// Everything that something keeps is there, whole.
    fn verify(&mut self) {
        for (name, repository) in &self.repositories {
            for (tag, own) in &repository.tags {
                let reply = self.send("GET", &format!("/v2/{name}/manifests/{tag}"), &[], b"");
                assert_eq!(reply.header("docker-content-digest"), own, "{name}:{tag}");
            }
            let mut seen = BTreeSet::new();
            for own in repository.certain() {
                let reply = self.send("GET", &format!("/v2/{name}/manifests/{own}"), &[], b"");
                assert_eq!((reply.status, digest(&reply.body)), (200, own.clone()), "{name}@{own}");
                for (blob, content) in &repository.manifests[&own].blobs {
                    if seen.insert(blob.clone()) {
                        let stored = self.servers.stored(blob);
                        assert!(
                            stored.is_some_and(|stored| stored == *content),
                            "{name}: blob {blob} of {own} is lost"
                        );
                    }
                }
            }
        }
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Uses the registries at random for so many steps, and waits until the collector has seen the end of it.
fn play(servers: Servers, grace: Duration, steps: u64, cycle: Duration) {
    let random = Random(number("WHARF_MODEL_SEED", 20_260_718));
    let repositories = REPOSITORIES.into_iter().map(|name| (name, Repository::default())).collect();
    let mut model = Model { servers, grace, random, repositories, counter: 0 };
    for step in 0..number("WHARF_MODEL_STEPS", steps) {
        match model.random.below(20) {
            0..=8 => model.push_image(false),
            9..=10 => model.push_image(true),
            11..=13 => model.push_index(),
            14..=15 => model.delete_tag(),
            16..=18 => model.delete_manifest(),
            _ => model.restart(),
        }
        if step % 20 == 19 {
            model.verify();
        }
    }
    std::thread::sleep(grace + cycle);
    model.verify();
}

#[test]
fn nothing_that_is_referenced_is_lost() {
    let grace = format!("{}ms", GRACE.as_millis());
    let registry = TempRegistry::start_with(&["--grace", &grace, "--gc-cycle", "100ms", "--access-log", "none"]);
    let servers = Servers { registries: vec![registry], bucket: None, turn: Cell::new(0) };
    play(servers, GRACE, 60, Duration::from_millis(500));
}

#[test]
fn nothing_that_is_referenced_is_lost_with_two_servers_over_one_bucket() {
    let Some(bucket) = TempBucket::start() else { return };
    let grace = format!("{}ms", GRACE_OF_BUCKET.as_millis());
    let serve = || bucket.serve(&["--grace", &grace, "--gc-cycle", "2s", "--access-log", "none"]);
    let registries = vec![serve(), serve()];
    let servers = Servers { registries, bucket: Some(bucket), turn: Cell::new(0) };
    play(servers, GRACE_OF_BUCKET, 10, Duration::from_secs(4));
}
