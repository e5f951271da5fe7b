//! Progress in BuildKit's words: vertices, their logs, and how far they are.

use std::collections::HashMap;

use wharf_build::dockerfile::Source;
use wharf_engine::build::events::{Ending, Event, Stream};
use wharf_types::Digest;

use crate::proto::{
    Position, Range, SourceInfo, StatusResponse, Timestamp, Vertex, VertexLog, VertexStatus, VertexWarning, WarnRequest,
};

/// How much of one step's output is told, in bytes.
const LOG_LIMIT: usize = 2 << 20;

/// Turns what a build tells into messages.
#[derive(Default)]
pub(crate) struct Teller {
    /// Sets this build's vertices apart from those of others.
    salt: String,
    /// Vertices of the steps, by number.
    steps: HashMap<usize, Vertex>,
    tasks: HashMap<String, Vertex>,
    logged: HashMap<usize, usize>,
    /// Steps that were planned, run and found in the cache.
    pub(crate) counts: Counts,
}

/// How many steps there were.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) total: i32,
    pub(crate) completed: i32,
    pub(crate) cached: i32,
}

impl Teller {
    pub(crate) fn new(salt: &str) -> Self {
        Self { salt: salt.to_owned(), ..Self::default() }
    }

    fn vertex(&self, what: &str, name: &str) -> Vertex {
        let digest = Digest::of(format!("{}\n{what}\n{name}", self.salt).as_bytes()).to_string();
        Vertex { digest, name: name.to_owned(), ..Vertex::default() }
    }

    pub(crate) fn event(&mut self, event: Event) -> Option<StatusResponse> {
        match event {
            Event::Planned { steps } => {
                for (id, name) in steps.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                    let vertex = self.vertex(&format!("step {id}"), name);
                    self.steps.insert(id, vertex);
                    self.counts.total += 1;
                }
                let mut all: Vec<(&usize, &Vertex)> = self.steps.iter().collect();
                all.sort_by_key(|(id, _)| **id);
                let vertexes = all.into_iter().map(|(_, vertex)| vertex.clone()).collect();
                Some(StatusResponse { vertexes, ..StatusResponse::default() })
            }
            Event::Started(id) => {
                let vertex = self.steps.get_mut(&id)?;
                vertex.started = Some(Timestamp::now());
                Some(one(vertex.clone()))
            }
            Event::Ended(id, ending) => {
                let vertex = self.steps.get_mut(&id)?;
                vertex.completed = Some(Timestamp::now());
                vertex.cached = ending == Ending::Cached;
                self.counts.completed += 1;
                self.counts.cached += i32::from(vertex.cached);
                if let Ending::Failed(why) = ending {
                    vertex.error = why;
                }
                Some(one(vertex.clone()))
            }
            Event::Output(id, stream, mut bytes) => {
                let digest = self.steps.get(&id)?.digest.clone();
                let logged = self.logged.entry(id).or_default();
                if *logged >= LOG_LIMIT {
                    return None;
                }
                *logged += bytes.len();
                if *logged >= LOG_LIMIT {
                    bytes.extend_from_slice(b"\n[output clipped, log limit 2MiB reached]\n");
                }
                let stream = if stream == Stream::Stderr { 2 } else { 1 };
                Some(log(digest, stream, bytes))
            }
            Event::Task { name, done } => Some(self.task(&name, done)),
            Event::Warning { .. } => None,
        }
    }

    /// Something beside the steps begins or ends.
    pub(crate) fn task(&mut self, name: &str, done: bool) -> StatusResponse {
        let shown = if name.starts_with('[') || name.starts_with("exporting") || name.starts_with("importing") {
            name.to_owned()
        } else {
            format!("[internal] {name}")
        };
        if !done {
            let mut vertex = self.vertex("task", &shown);
            vertex.started = Some(Timestamp::now());
            self.tasks.insert(name.to_owned(), vertex.clone());
            return one(vertex);
        }
        let mut vertex = self.tasks.remove(name).unwrap_or_else(|| self.vertex("task", &shown));
        vertex.completed = Some(Timestamp::now());
        one(vertex)
    }

    /// A line below a task that runs.
    pub(crate) fn line(&self, task: &str, text: &str, current: u64) -> StatusResponse {
        let vertex = self.tasks.get(task).map(|vertex| vertex.digest.clone()).unwrap_or_default();
        let now = Some(Timestamp::now());
        let current = i64::try_from(current).unwrap_or(i64::MAX);
        let status = VertexStatus {
            id: text.to_owned(),
            vertex,
            name: text.to_owned(),
            current,
            timestamp: now,
            started: now,
            completed: now,
            ..VertexStatus::default()
        };
        StatusResponse { statuses: vec![status], ..StatusResponse::default() }
    }

    /// What the linter found.
    pub(crate) fn warning(&self, source: &Source, warning: &wharf_build::dockerfile::lint::Warning) -> StatusResponse {
        let line = |number: u32| Some(Position { line: i32::try_from(number).unwrap_or(0), character: 0 });
        let told = VertexWarning {
            vertex: self.vertex("task", "[internal] load build definition").digest,
            level: 1,
            short: format!("{}: {} (line {})", warning.rule, warning.message, warning.span.first).into_bytes(),
            detail: vec![warning.message.clone().into_bytes()],
            url: warning.url(),
            info: Some(SourceInfo {
                filename: source.name.clone(),
                data: source.text.clone().into_bytes(),
                language: "Dockerfile".into(),
            }),
            ranges: vec![Range { start: line(warning.span.first), end: line(warning.span.last) }],
        };
        StatusResponse { warnings: vec![told], ..StatusResponse::default() }
    }
}

/// What a client's frontend warns of.
pub(crate) fn of_frontend(warning: WarnRequest) -> StatusResponse {
    let told = VertexWarning {
        vertex: warning.digest,
        level: warning.level,
        short: warning.short,
        detail: warning.detail,
        url: warning.url,
        info: warning.info,
        ranges: warning.ranges,
    };
    StatusResponse { warnings: vec![told], ..StatusResponse::default() }
}

fn one(vertex: Vertex) -> StatusResponse {
    StatusResponse { vertexes: vec![vertex], ..StatusResponse::default() }
}

fn log(vertex: String, stream: i64, msg: Vec<u8>) -> StatusResponse {
    let log = VertexLog { vertex, timestamp: Some(Timestamp::now()), stream, msg };
    StatusResponse { logs: vec![log], ..StatusResponse::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_vertices_of_their_own_and_endless_output_ends() {
        let mut teller = Teller::new("ref");
        let planned = teller.event(Event::Planned { steps: vec!["FROM a".into(), String::new(), "RUN b".into()] });
        assert_eq!(planned.unwrap().vertexes.len(), 2);
        assert!(teller.event(Event::Started(1)).is_none());
        let started = teller.event(Event::Started(2)).unwrap();
        assert!(started.vertexes[0].started.is_some() && started.vertexes[0].digest.starts_with("sha256:"));
        let mut told = 0;
        for _ in 0..40 {
            let said = teller.event(Event::Output(2, Stream::Stdout, vec![b'x'; 100_000]));
            told += said.map_or(0, |said| said.logs[0].msg.len());
        }
        assert!((LOG_LIMIT..LOG_LIMIT + 200_000).contains(&told), "{told}");
        let ended = teller.event(Event::Ended(2, Ending::Cached)).unwrap();
        assert!(ended.vertexes[0].cached && ended.vertexes[0].digest == started.vertexes[0].digest);
        assert_eq!((teller.counts.total, teller.counts.completed, teller.counts.cached), (2, 1, 1));
    }
}
