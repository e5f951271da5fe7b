//! A worker with volumes, networks and images, built, committed, pushed and pulled.

use fastrand::Rng;
use serde_json::{Value, json};

use super::belief::Belief;
use super::containers::Tally;
use super::link::{Link, Outcome};
use crate::golden::{self, Archive};

/// The container that commits are made of.
const SOURCE: &str = "source";

/// Kinds of objects that are there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A named volume.
    Volume,
    /// A bridge network.
    Network,
    /// An image by its name: built or pulled, pushed.
    Image,
    /// An image made of a container.
    Commit,
}

/// One object.
#[derive(Debug)]
pub struct Thing {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub belief: Belief<bool>,
    /// Whether the registry has acknowledged it.
    pub is_pushed: bool,
    /// The last thing that was done to it.
    pub last: String,
}

/// The worker.
pub struct Things {
    pub(super) all: Vec<Thing>,
    pub(super) tally: Tally,
    rng: Rng,
}

impl Things {
    /// A worker that pushes to this registry.
    pub fn new(rng: Rng, registry: &str) -> Self {
        let name = |kind, number| match kind {
            Kind::Volume => format!("volume-{number}"),
            Kind::Network => format!("network-{number}"),
            Kind::Image => format!("{registry}/image-{number}:1"),
            Kind::Commit => format!("commit-{number}:1"),
        };
        let kinds = [Kind::Volume, Kind::Network, Kind::Image, Kind::Commit];
        let all = kinds.into_iter().flat_map(|kind| (0..2).map(move |number| (kind, number)));
        let thing = |(kind, number)| Thing {
            kind,
            name: name(kind, number),
            belief: Belief::Known(false),
            is_pushed: false,
            last: String::new(),
        };
        Self { all: all.map(thing).collect(), tally: Tally::default(), rng }
    }

    /// Makes what the work needs and no kill may touch.
    ///
    /// # Panics
    /// If the engine refuses it.
    pub fn prepare(&mut self, link: &mut Link) {
        let path = format!("/containers/create?name={SOURCE}");
        let made = link.ask("POST", &path, &json!({"Image": golden::BUSYBOX, "Cmd": ["true"]}));
        assert!(matches!(made, Outcome::Done(_)), "the container to commit cannot be made");
    }

    /// Somebody has removed all networks.
    pub fn clear(&mut self) {
        for thing in self.all.iter_mut().filter(|thing| thing.kind == Kind::Network) {
            thing.belief = Belief::Known(false);
        }
    }

    /// Does one random thing.
    pub fn step(&mut self, link: &mut Link) {
        let slot = self.rng.usize(0..self.all.len());
        let dice = self.rng.u8(0..12);
        if dice == 0 {
            return self.prune(link);
        }
        let thing = &mut self.all[slot];
        let Some(is_there) = thing.belief.state() else { return };
        let (method, path, body, after) = match (thing.kind, is_there) {
            (Kind::Volume, false) => ("POST", "/volumes/create".to_owned(), json!({"Name": thing.name}), true),
            (Kind::Network, false) => ("POST", "/networks/create".to_owned(), json!({"Name": thing.name}), true),
            (Kind::Commit, false) => ("POST", commit(&thing.name), Value::Null, true),
            (Kind::Image, false) if thing.is_pushed && dice < 7 => ("POST", pull(&thing.name), Value::Null, true),
            (Kind::Image, false) => ("POST", format!("/build?rm=1&t={}", thing.name), Value::Null, true),
            (Kind::Image, true) if dice < 7 => ("POST", push(&thing.name), Value::Null, true),
            (_, true) => ("DELETE", path_of(thing), Value::Null, false),
        };
        thing.last = format!("{method} {path}");
        let is_push = path.contains("/push");
        let outcome = if path.starts_with("/build") {
            link.send(method, &path, &context(dice), "application/x-tar")
        } else {
            link.ask(method, &path, &body)
        };
        match outcome {
            Outcome::Done(_) => {
                self.tally.acknowledged += 1;
                thing.is_pushed |= is_push;
                thing.belief = Belief::Known(after);
            }
            Outcome::Refused(status, text) => self.tally.wrong.push(format!("{}: {status} {text}", thing.last)),
            Outcome::CutOff => {
                self.tally.cut_off += 1;
                thing.belief = Belief::OneOf(vec![is_there, after]);
            }
        }
    }

    /// Takes away what belongs to nothing: no object of anybody may go with it.
    fn prune(&mut self, link: &mut Link) {
        let path = match self.rng.u8(0..3) {
            0 => "/images/prune",
            1 => "/build/prune",
            _ => "/volumes/prune",
        };
        match link.ask("POST", path, &Value::Null) {
            Outcome::Done(_) => self.tally.acknowledged += 1,
            Outcome::Refused(status, text) => self.tally.wrong.push(format!("{path}: {status} {text}")),
            Outcome::CutOff => self.tally.cut_off += 1,
        }
    }
}

/// Where the API has it.
pub fn path_of(thing: &Thing) -> String {
    match thing.kind {
        Kind::Volume => format!("/volumes/{}", thing.name),
        Kind::Network => format!("/networks/{}", thing.name),
        Kind::Image | Kind::Commit => format!("/images/{}", thing.name),
    }
}

fn commit(name: &str) -> String {
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, ""));
    format!("/commit?container={SOURCE}&repo={repository}&tag={tag}")
}

fn pull(name: &str) -> String {
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, ""));
    format!("/images/create?fromImage={repository}&tag={tag}")
}

fn push(name: &str) -> String {
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, ""));
    format!("/images/{repository}/push?tag={tag}")
}

/// A build whose command differs with `number`, so that it comes from the cache sometimes.
fn context(number: u8) -> Vec<u8> {
    let dockerfile = format!("FROM {}\nCOPY file /file\nRUN echo {number} >/number\n", golden::BUSYBOX);
    let archive = Archive::new().file("Dockerfile", 0o644, dockerfile.as_bytes());
    archive.file("file", 0o644, &vec![number; 100_000]).finish()
}
