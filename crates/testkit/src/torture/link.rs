//! One worker's connection to an engine that may die at any moment.

use std::path::PathBuf;

use serde_json::Value;

use crate::engine::TempEngine;
use crate::http::{Http, Response};

/// How a request ended.
pub enum Outcome {
    /// It was acknowledged.
    Done(Response),
    /// It was refused, with the status and the sentence.
    Refused(u16, String),
    /// Nobody knows: the engine died over it.
    CutOff,
}

/// A connection that remembers whether the engine has died.
pub struct Link {
    http: Http,
    socket: PathBuf,
    dead: bool,
}

impl Link {
    /// A connection to an engine that runs.
    pub fn new(engine: &TempEngine) -> Self {
        Self { http: engine.http(), socket: engine.socket(), dead: false }
    }

    /// Whether a request was cut off.
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// Sends a request and reads the answer to its end; progress that ends with an error is a refusal.
    pub fn ask(&mut self, method: &str, path: &str, body: &Value) -> Outcome {
        let (bytes, kind) = match body {
            Value::Null => (Vec::new(), ""),
            body => (body.to_string().into_bytes(), "application/json"),
        };
        self.send(method, path, &bytes, kind)
    }

    /// As [`Link::ask`], with any body.
    pub fn send(&mut self, method: &str, path: &str, body: &[u8], kind: &str) -> Outcome {
        match self.http.request(method, path, body, kind) {
            Ok(answer) if !(200..300).contains(&answer.status) => Outcome::Refused(answer.status, answer.text()),
            Ok(answer) => match failure(&answer) {
                Some(sentence) => Outcome::Refused(answer.status, sentence),
                None => Outcome::Done(answer),
            },
            Err(_) => {
                self.dead = true;
                self.http = Http::new(&self.socket);
                Outcome::CutOff
            }
        }
    }
}

/// The error at the end of a stream of progress.
fn failure(answer: &Response) -> Option<String> {
    let text = answer.text();
    let last = text.trim_end().lines().last()?;
    let line: Value = serde_json::from_str(last).ok()?;
    line.get("error").map(Value::to_string)
}
