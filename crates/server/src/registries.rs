//! What needs a registry: pull, push, login, search, and questions about what a name means there.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::URL_SAFE as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wharf_api::image::{Descriptor, Platform, Progress};
use wharf_api::system::header::REGISTRY_AUTH;
use wharf_api::system::{AuthConfig, AuthResponse};
use wharf_engine::image::{Credentials, PullRequest, PushRequest, Report, invalid_reference};
use wharf_types::{Digest, Error, Reference, Result};

use crate::Server;
use crate::request::Call;
use crate::response::{self, Answer, AnswerBody, ok, with_body};
use crate::route::page_not_found;

/// Clients write it with and without padding.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Who asks. What cannot be read is nobody, as with Docker: most registries let anybody pull.
fn credentials(call: &Call) -> Credentials {
    let decoded = call.header(REGISTRY_AUTH).and_then(|text| BASE64.decode(text.trim()).ok());
    decoded.and_then(|json| serde_json::from_slice(&json).ok()).map(of_config).unwrap_or_default()
}

fn of_config(config: AuthConfig) -> Credentials {
    Credentials {
        username: config.username,
        password: config.password,
        identity_token: config.identity_token,
        registry_token: config.registry_token,
    }
}

/// `fromImage=NAME[:TAG]&tag=TAG|DIGEST`; without any tag all of them are meant.
pub(crate) async fn pull(server: &Server, call: &Call, platform: Option<wharf_types::Platform>) -> Result<Answer> {
    let name = name_of(call.query.text("fromImage"), call.query.text("tag"))?;
    let request = PullRequest { name, platform, credentials: credentials(call) };
    let images = server.engine.images().clone();
    progress(move |report| async move { images.pull(&request, &report).await }).await
}

/// Pushes one tag, or all that are here.
pub(crate) async fn push(
    server: &Server,
    name: &str,
    call: &Call,
    platform: Option<wharf_types::Platform>,
) -> Result<Answer> {
    let name = name_of(name, call.query.text("tag"))?;
    if name.digest().is_some() {
        return Err(Error::invalid("cannot push a digest reference"));
    }
    let request = PushRequest { name, platform, credentials: credentials(call) };
    let images = server.engine.images().clone();
    progress(move |report| async move { images.push(&request, &report).await }).await
}

fn name_of(image: &str, tag: &str) -> Result<Reference> {
    let text = match tag {
        "" => image.to_owned(),
        digest if digest.contains(':') => format!("{image}@{digest}"),
        tag => format!("{image}:{tag}"),
    };
    text.parse().map_err(|error| invalid_reference(&text, error))
}

/// Tells how the work goes as it goes. What fails before there is anything to tell is the answer itself. The work ends
/// when the client goes away.
async fn progress<F, W>(work: F) -> Result<Answer>
where
    F: FnOnce(Report) -> W,
    W: Future<Output = Result<()>> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let report: Report = Arc::new(move |line| drop(sender.send(line)));
    let mut work = Work(tokio::spawn(work(report)));
    let Some(first) = receiver.recv().await else {
        work.outcome().await?;
        return Ok(response::json_lines(futures_util::stream::empty::<Progress>()));
    };
    let state = (Some(first), receiver, Some(work));
    let lines = futures_util::stream::unfold(state, |(first, mut receiver, mut work)| async move {
        let next = match first {
            Some(line) => Some(line),
            None => receiver.recv().await,
        };
        match next {
            Some(line) => Some((line, (None, receiver, work))),
            None => {
                let error = work.take()?.outcome().await.err()?;
                Some((Progress::failed(&error), (None, receiver, None)))
            }
        }
    });
    Ok(response::json_lines(lines))
}

/// Work that ends when this is dropped.
struct Work(JoinHandle<Result<()>>);

impl Work {
    async fn outcome(&mut self) -> Result<()> {
        let joined = (&mut self.0).await;
        joined.unwrap_or_else(|error| Err(Error::system("the engine failed while it worked on this").caused_by(error)))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// `POST /auth`
pub(crate) async fn log_in(server: &Server, call: Call) -> Result<Answer> {
    let config: AuthConfig = call.json().await?;
    let address = config.server_address.clone();
    let token = server.engine.images().log_in(&address, &of_config(config)).await?;
    ok(&AuthResponse { identity_token: token.unwrap_or_default(), status: "Login Succeeded".to_owned() })
}

/// `GET /images/search`
pub(crate) async fn search(server: &Server, call: &Call) -> Result<Answer> {
    let filters = call.query.filters()?;
    filters.check_names(&["is-automated", "is-official", "stars"])?;
    let limit = call.query.number::<u32>("limit")?.unwrap_or(0);
    if limit > 100 {
        return Err(Error::invalid(format!("limit {limit} is outside the range of [1, 100]")));
    }
    let (official, automated) = (filters.flag("is-official")?, filters.flag("is-automated")?);
    let stars = filters.values("stars").next().map(str::parse::<i64>).transpose();
    let stars = stars.map_err(|_| Error::invalid("invalid filter 'stars': it is a number"))?.unwrap_or(0);
    let mut found = server.engine.images().search(call.query.text("term"), limit, &credentials(call)).await?;
    // Nothing is built automatically any more.
    found.retain(|result| {
        official.is_none_or(|wanted| wanted == result.is_official)
            && automated != Some(true)
            && result.star_count >= stars
    });
    ok(&found)
}

/// `/distribution/...`: what a name means in its registry. Beside Docker's `json` there are `manifest` (the document
/// itself, to be read and put) and `tags`.
pub(crate) async fn distribution(server: &Server, method: &Method, parts: &[&str], call: Call) -> Result<Answer> {
    let images = server.engine.images();
    let who = credentials(&call);
    let name = |parts: &[&str]| -> Result<Reference> {
        let text = parts.join("/");
        text.parse().map(Reference::or_latest).map_err(|error| invalid_reference(&text, error))
    };
    match (method, parts) {
        (&Method::GET, [of @ .., "json"]) => {
            let found = images.distribution(&name(of)?, &who).await?;
            ok(&Inspected { descriptor: found.descriptor, platforms: found.platforms })
        }
        (&Method::GET, [of @ .., "manifest"]) => {
            let document = images.remote_manifest(&name(of)?, &who).await?;
            let mut answer = with_body(StatusCode::OK, AnswerBody::Full(Full::new(document.bytes)));
            describe(&mut answer, &document.media_type, &document.digest);
            Ok(answer)
        }
        (&Method::PUT, [of @ .., "manifest"]) => {
            let name = name(of)?;
            let media_type = call.header("content-type").unwrap_or_default().to_owned();
            let bytes: Bytes = call.bytes().await?;
            let digest = images.put_remote_manifest(&name, &media_type, bytes.to_vec(), &who).await?;
            let mut answer = response::empty(StatusCode::CREATED);
            describe(&mut answer, &media_type, &digest);
            Ok(answer)
        }
        (&Method::GET, [of @ .., "tags"]) => ok(&images.remote_tags(&name(of)?, &who).await?),
        _ => Err(page_not_found()),
    }
}

fn describe(answer: &mut Response<AnswerBody>, media_type: &str, digest: &Digest) {
    let headers = answer.headers_mut();
    if let Ok(value) = HeaderValue::from_str(media_type) {
        headers.insert(http::header::CONTENT_TYPE, value);
    }
    if let Ok(value) = HeaderValue::from_str(&digest.to_string()) {
        headers.insert(HeaderName::from_static("docker-content-digest"), value);
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    descriptor: Descriptor,
    platforms: Vec<Platform>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_together_from_image_and_tag() {
        let name = |image, tag| name_of(image, tag).unwrap().to_string();
        assert_eq!(name("docker.io/library/a", "1"), "docker.io/library/a:1");
        assert_eq!(name("localhost:5/a", ""), "localhost:5/a");
        let digest = Digest::of(b"").to_string();
        assert_eq!(name("a", &digest), format!("docker.io/library/a@{digest}"));
        assert!(name_of("A", "1").is_err());
    }

    #[test]
    fn credentials_are_read_with_and_without_padding() {
        let json = br#"{"username":"u","password":"p??>>"}"#;
        let plain = base64::engine::general_purpose::URL_SAFE.encode(json);
        for text in [plain.as_str(), plain.trim_end_matches('=')] {
            assert!(BASE64.decode(text).is_ok(), "{text}");
        }
    }
}
