//! Uploads into the registry.

use std::io::{BufReader, Read};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use super::answer::Next;
use super::message::{self, Answer, Request};
use super::{State, lock};

/// `POST`: an upload begins, or a blob is mounted that is there.
pub(super) fn begin(
    request: &Request,
    repository: &str,
    reader: &mut BufReader<&TcpStream>,
    mut stream: &TcpStream,
    shared: &Mutex<State>,
) -> std::io::Result<Next> {
    message::body(reader, request.length())?;
    let mut state = lock(shared);
    let is_mounted = request.parameter("mount").is_some_and(|digest| state.blobs.contains_key(&digest));
    if is_mounted {
        drop(state);
        Answer::new(201).send(&mut stream, false)?;
        return Ok(Next::On);
    }
    state.begun += 1;
    let id = format!("upload-{}", state.begun);
    state.uploads.insert(id.clone(), Vec::new());
    drop(state);
    let place = format!("/v2/{repository}/blobs/uploads/{id}");
    Answer::new(202).with("location", place).with("range", "0-0").send(&mut stream, false)?;
    Ok(Next::On)
}

/// `PATCH`, `PUT` and `GET` of an upload that has begun.
pub(super) fn go_on(
    request: &Request,
    id: &str,
    reader: &mut BufReader<&TcpStream>,
    mut stream: &TcpStream,
    shared: &Mutex<State>,
) -> std::io::Result<Next> {
    let cut = lock(shared).faults.cut_upload.filter(|_| request.method == "PATCH");
    let mut bytes = Vec::new();
    reader.take(cut.unwrap_or(u64::MAX).min(request.length())).read_to_end(&mut bytes)?;
    let mut state = lock(shared);
    let Some(upload) = state.uploads.get_mut(id) else {
        drop(state);
        Answer::error(404, "BLOB_UPLOAD_UNKNOWN").send(&mut stream, false)?;
        return Ok(Next::On);
    };
    let begins = request.header("content-range").and_then(|range| range.split('-').next()?.parse::<usize>().ok());
    if request.method == "PATCH" && begins.unwrap_or(0) != upload.len() {
        drop(state);
        Answer::error(416, "RANGE_INVALID").send(&mut stream, false)?;
        return Ok(Next::On);
    }
    upload.extend_from_slice(&bytes);
    let range = format!("0-{}", upload.len().max(1) - 1);
    let content = (request.method == "PUT").then(|| std::mem::take(upload));
    if let Some(left) = cut.filter(|cut| *cut < request.length()) {
        // The next one gets further.
        state.faults.cut_upload = Some(left * 2);
        return Ok(Next::Close);
    }
    let answer = match content {
        Some(content) if request.parameter("digest").as_deref() == Some(&super::digest(&content)) => {
            let digest = super::digest(&content);
            state.blobs.insert(digest.clone(), Arc::new(content));
            state.uploads.remove(id);
            Answer::new(201).with("docker-content-digest", digest)
        }
        Some(_) => Answer::error(400, "DIGEST_INVALID"),
        None => {
            let status = if request.method == "GET" { 204 } else { 202 };
            Answer::new(status).with("location", request.path.clone()).with("range", range)
        }
    };
    drop(state);
    answer.send(&mut stream, false)?;
    Ok(Next::On)
}
