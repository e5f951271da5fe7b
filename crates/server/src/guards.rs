//! Authorisation plugins: programs of others that are asked whether a request may be answered, and whether its answer
//! may go out.
//!
//! They decide on what is really run: the path as it was understood, and the very bytes of the body that the request is
//! then answered from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};
use wharf_types::{Error, Result, ResultExt};

use crate::request::{Call, Path};
use crate::response::{Answer, AnswerBody};

/// What a part of a path may hold unescaped.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':').remove(b'@');

/// Who is asked, in this order; nobody where it is empty.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guards {
    /// Names of the plugins.
    pub(crate) names: Vec<String>,
    /// The engine's own folder of sockets.
    pub(crate) folder: PathBuf,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Verdict {
    allow: bool,
    msg: String,
    err: String,
}

impl Guards {
    /// Asks all of them about a request, whose JSON body is read for that. Gives what they were told, for the answer.
    ///
    /// # Errors
    /// `Forbidden` in Docker's words where one says no; a failure where one cannot be asked: then nothing is run.
    pub(crate) async fn admit(&self, path: &Path, call: &mut Call) -> Result<Option<Value>> {
        if self.names.is_empty() {
            return Ok(None);
        }
        let body = call.read_ahead().await?;
        let parts: Vec<String> = path.parts().iter().map(|part| utf8_percent_encode(part, PLAIN).to_string()).collect();
        let query = call.raw_query().map_or_else(String::new, |query| format!("?{query}"));
        let mut document = json!({
            "RequestMethod": call.method().as_str(),
            "RequestURI": format!("/v{}/{}{query}", call.version, parts.join("/")),
            "RequestHeaders": headers(call.all_headers()),
        });
        if let Some(body) = body.filter(|body| !body.is_empty()) {
            document["RequestBody"] = STANDARD.encode(&body).into();
        }
        for name in &self.names {
            self.ask(name, "/AuthZPlugin.AuthZReq", &document).await?;
        }
        Ok(Some(document))
    }

    /// Asks all of them, the last one first, whether an answer may go out.
    pub(crate) async fn dismiss(&self, mut document: Value, answer: Answer) -> Result<Answer> {
        let (parts, body) = answer.into_parts();
        document["ResponseStatusCode"] = parts.status.as_u16().into();
        document["ResponseHeaders"] = headers(&parts.headers);
        let is_json = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        let body = match body {
            AnswerBody::Full(full) => {
                let Ok(collected) = full.collect().await;
                let bytes: Bytes = collected.to_bytes();
                if is_json {
                    document["ResponseBody"] = STANDARD.encode(&bytes).into();
                }
                AnswerBody::Full(bytes.into())
            }
            stream @ AnswerBody::Stream(_) => stream,
        };
        for name in self.names.iter().rev() {
            self.ask(name, "/AuthZPlugin.AuthZRes", &document).await?;
        }
        Ok(Answer::from_parts(parts, body))
    }

    async fn ask(&self, name: &str, path: &'static str, document: &Value) -> Result<()> {
        let (plugin, folder, body) = (name.to_owned(), self.folder.clone(), document.to_string());
        let asked =
            tokio::task::spawn_blocking(move || wharf_engine::plugin::call(&plugin, &folder, path, &body)).await;
        let failed = || format!("plugin {name} failed with error");
        let bytes = asked.map_err(std::io::Error::other).map_err(Error::from).and_then(|answer| answer);
        let bytes = bytes.with_context(failed)?;
        let verdict: Verdict = serde_json::from_slice(&bytes)
            .map_err(|error| Error::system(format!("plugin {name} failed with error: {error}")))?;
        match verdict {
            Verdict { err, .. } if !err.is_empty() => {
                Err(Error::system(format!("plugin {name} failed with error: {err}")))
            }
            Verdict { allow: false, msg, .. } => {
                Err(Error::forbidden(format!("authorization denied by plugin {name}: {msg}")))
            }
            _ => Ok(()),
        }
    }
}

/// Headers as plugins get them: all but the secrets for registries.
fn headers(headers: &HeaderMap) -> Value {
    let secret = |name: &str| matches!(name, "x-registry-auth" | "x-registry-config" | "authorization");
    let shown: BTreeMap<&str, String> = headers
        .iter()
        .filter(|(name, _)| !secret(name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?.to_owned())))
        .collect();
    json!(shown)
}
