//! What the registry answers, and what goes wrong with it.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::thread;

use serde_json::json;

use super::message::{self, Answer, Request};
use super::{Auth, State, lock, uploads};

/// Blobs go out in such pieces.
const PIECE: usize = 64 * 1024;

/// What becomes of the connection.
pub(super) enum Next {
    /// It goes on.
    On,
    /// It ends here.
    Close,
}

/// Answers all requests of a connection.
pub(super) fn serve(stream: &TcpStream, own: SocketAddr, shared: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = message::read(&mut reader) {
        lock(shared).requests.push(request.clone());
        match answer(&request, &mut reader, stream, own, shared) {
            Ok(Next::On) => {}
            Ok(Next::Close) | Err(_) => break,
        }
    }
    // Whoever has gone already hears no goodbye.
    drop(stream.shutdown(std::net::Shutdown::Both));
}

fn answer(
    request: &Request,
    reader: &mut BufReader<&TcpStream>,
    mut stream: &TcpStream,
    own: SocketAddr,
    shared: &Mutex<State>,
) -> std::io::Result<Next> {
    let to_head = request.method == "HEAD";
    if request.path == "/token" {
        let form = String::from_utf8_lossy(&message::body(reader, request.length())?).into_owned();
        token(request, &form, shared).send(&mut stream, to_head)?;
        return Ok(Next::On);
    }
    if let Some(refusal) = refuse_strangers(request, own, shared) {
        message::body(reader, request.length())?;
        refusal.send(&mut stream, to_head)?;
        return Ok(Next::On);
    }
    let parts: Vec<&str> = request.path.trim_start_matches("/v2").trim_matches('/').split('/').collect();
    match (request.method.as_str(), &parts[..]) {
        (_, [""]) => Answer::new(200).send(&mut stream, to_head)?,
        (_, [repository @ .., "blobs", "uploads"]) => {
            return uploads::begin(request, &repository.join("/"), reader, stream, shared);
        }
        (_, [.., "blobs", "uploads", id]) => return uploads::go_on(request, id, reader, stream, shared),
        ("GET" | "HEAD", [.., "blobs", digest]) => return blob(request, digest, stream, shared),
        ("GET" | "HEAD", [repository @ .., "manifests", name]) => {
            manifest(shared, &repository.join("/"), name).send(&mut stream, to_head)?;
        }
        ("PUT", [repository @ .., "manifests", name]) => {
            let bytes = message::body(reader, request.length())?;
            let digest = super::digest(&bytes);
            let kind = request.header("content-type").unwrap_or_default().to_owned();
            let mut state = lock(shared);
            for name in [(*name).to_owned(), digest.clone()] {
                state.manifests.insert((repository.join("/"), name), (kind.clone(), bytes.clone().into()));
            }
            drop(state);
            Answer::new(201).with("docker-content-digest", digest).send(&mut stream, false)?;
        }
        ("GET", [repository @ .., "tags", "list"]) => {
            let repository = repository.join("/");
            let names: Vec<String> = lock(shared)
                .manifests
                .keys()
                .filter(|(r, t)| *r == repository && !t.contains(':'))
                .map(|(_, t)| t.clone())
                .collect();
            let list = json!({"name": repository, "tags": names}).to_string().into_bytes();
            Answer::new(200).with("content-type", "application/json").body(list).send(&mut stream, false)?;
        }
        _ => Answer::error(404, "NOT_FOUND").send(&mut stream, to_head)?,
    }
    Ok(Next::On)
}

fn manifest(shared: &Mutex<State>, repository: &str, name: &str) -> Answer {
    let state = lock(shared);
    match state.manifests.get(&(repository.to_owned(), name.to_owned())) {
        Some((kind, bytes)) => Answer::new(200)
            .with("content-type", kind.clone())
            .with("docker-content-digest", super::digest(bytes))
            .body(bytes.to_vec()),
        None => Answer::error(404, "MANIFEST_UNKNOWN"),
    }
}

/// Gives a token that is good for as many requests as the faults say: for a password, or by `POST` for the lasting token
/// that came with an earlier one (RFC 6749, 6).
fn token(request: &Request, form: &str, shared: &Mutex<State>) -> Answer {
    let mut state = lock(shared);
    let Auth::Token(uses, person) = state.faults.auth.clone() else { return Answer::error(404, "NOT_FOUND") };
    let shown = request.header("authorization").unwrap_or_default();
    let refreshes = form.split('&').any(|field| field == "grant_type=refresh_token");
    if refreshes && !form.split('&').any(|field| field == "refresh_token=lasting") {
        let error = json!({"error": "invalid_grant", "error_description": "this token is none of ours"});
        return Answer::new(400).with("content-type", "application/json").body(error.to_string().into_bytes());
    }
    if !refreshes && person.as_ref().is_some_and(|(user, password)| shown != basic(user, password)) {
        let details = json!({"details": "incorrect username or password"}).to_string().into_bytes();
        return Answer::new(401).with("content-type", "application/json").body(details);
    }
    let token = format!("token-{}", state.tokens.len());
    state.tokens.insert(token.clone(), uses);
    let body = json!({"token": token, "expires_in": 300, "refresh_token": "lasting"}).to_string().into_bytes();
    Answer::new(200).with("content-type", "application/json").body(body)
}

fn refuse_strangers(request: &Request, own: SocketAddr, shared: &Mutex<State>) -> Option<Answer> {
    let shown = request.header("authorization").unwrap_or_default();
    let mut state = lock(shared);
    match state.faults.auth.clone() {
        Auth::Open => None,
        Auth::Basic(user, password) if shown == basic(&user, &password) => None,
        Auth::Basic(..) => Some(Answer::error(401, "UNAUTHORIZED").with("www-authenticate", "Basic realm=\"test\"")),
        Auth::Token(..) => {
            let left = shown.strip_prefix("Bearer ").and_then(|token| state.tokens.get_mut(token));
            if let Some(left) = left.filter(|left| **left > 0) {
                *left -= 1;
                return None;
            }
            let challenge = format!("Bearer realm=\"http://{own}/token\",service=\"test\"");
            Some(Answer::error(401, "UNAUTHORIZED").with("www-authenticate", challenge))
        }
    }
}

/// `Basic` and the base64 of user and password, for which no crate is needed.
pub(super) fn basic(user: &str, password: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = "Basic ".to_owned();
    for chunk in format!("{user}:{password}").as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    text
}

fn blob(request: &Request, digest: &str, mut stream: &TcpStream, shared: &Mutex<State>) -> std::io::Result<Next> {
    let to_head = request.method == "HEAD";
    let (bytes, faults) = {
        let mut state = lock(shared);
        let Some(bytes) = state.blobs.get(digest).cloned() else {
            drop(state);
            Answer::error(404, "BLOB_UNKNOWN").send(&mut stream, to_head)?;
            return Ok(Next::On);
        };
        let faults = state.faults.clone();
        if !to_head {
            state.faults.refuse.pop_front();
            state.faults.spoil = faults.spoil.saturating_sub(1);
        }
        (bytes, faults)
    };
    if to_head {
        // The length of a blob, without the blob.
        stream.write_all(Answer::new(200).head(bytes.len() as u64).as_bytes())?;
        return Ok(Next::On);
    }
    if let Some(status) = faults.refuse.front() {
        let refusal = Answer::error(*status, "TOOMANYREQUESTS");
        let wait = faults.retry_after.map(|seconds| seconds.to_string());
        wait.into_iter().fold(refusal, |refusal, wait| refusal.with("retry-after", wait)).send(&mut stream, false)?;
        return Ok(Next::On);
    }
    if let Some(place) = &faults.redirect {
        Answer::new(307).with("location", format!("{place}{}", request.path)).send(&mut stream, false)?;
        return Ok(Next::On);
    }
    let mut content = bytes.to_vec();
    if faults.spoil > 0 {
        let middle = content.len() / 2;
        content[middle] ^= 1;
    }
    let range = request.header("range").and_then(|text| text.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let first: usize = range.filter(|_| !faults.no_ranges).unwrap_or(0);
    let mut answer = Answer::new(if first > 0 { 206 } else { 200 });
    let mut from = first;
    if first > 0 {
        let lies = faults.lie > 0;
        if lies {
            lock(shared).faults.lie -= 1;
            from = first / 2;
        }
        answer = answer.with("content-range", format!("bytes {from}-{}/{}", content.len() - 1, content.len()));
    }
    send_blob(&content[from..], &answer, &faults, stream, shared)
}

fn send_blob(
    bytes: &[u8],
    answer: &Answer,
    faults: &super::Faults,
    mut stream: &TcpStream,
    shared: &Mutex<State>,
) -> std::io::Result<Next> {
    let told = (bytes.len() as u64).saturating_add_signed(faults.misstate);
    stream.write_all(answer.head(told).as_bytes())?;
    let cut = faults.cut_after.map_or(bytes.len(), |cut| bytes.len().min(usize::try_from(cut).unwrap_or(usize::MAX)));
    for piece in bytes[..cut].chunks(PIECE) {
        // Counted first: whoever has the last piece may ask at once.
        lock(shared).sent += piece.len() as u64;
        stream.write_all(piece).inspect_err(|_| lock(shared).sent -= piece.len() as u64)?;
        if let Some(pause) = faults.slow {
            thread::sleep(pause);
        }
    }
    let is_whole = cut == bytes.len() && faults.misstate == 0;
    Ok(if is_whole { Next::On } else { Next::Close })
}
