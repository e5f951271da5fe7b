//! `LLBBridge`: for clients that run a frontend themselves, which asks the engine to run `dockerfile.v0`.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;
use wharf_build::dockerfile;
use wharf_engine::build::{Broken, Source};

use crate::Inner;
use crate::grpc::{Code, Frames, Reply, Status};
use crate::job::Job;
use crate::options;
use crate::proto::{
    Any, BridgeResult, BridgeSolveRequest, BridgeSolveResponse, Cap, Empty, PongResponse, Ref, ReturnRequest,
    WarnRequest,
};
use crate::remote::{self, Remote};
use crate::workers;

/// What frontends may count on.
const FRONTEND_CAPS: [&str; 12] = [
    "solve.base",
    "solve.inlinereturn",
    "resolveimage",
    "resolveimage.resolvemode",
    "return",
    "returnmap",
    "proto.refarray",
    "importcaches",
    "frontend.caps",
    "gateway.solve.metadata",
    "gateway.evaluate",
    "gateway.warnings",
];

/// What the engine can do, in the words of BuildKit's graphs.
const LLB_CAPS: [&str; 22] = [
    "source.image",
    "source.image.resolvemode",
    "source.local",
    "source.local.unique",
    "source.local.sessionid",
    "source.local.includepatterns",
    "source.local.excludepatterns",
    "source.local.sharedkeyhint",
    "source.git",
    "source.git.keepgitdir",
    "source.http",
    "source.http.checksum",
    "exec.meta.base",
    "exec.meta.network",
    "exec.meta.security",
    "exec.mount.cache",
    "exec.mount.secret",
    "exec.mount.ssh",
    "constraints",
    "platform",
    "exporter.sourcedateepoch",
    "exporter.multiple",
];

/// Answers one call of a client's frontend.
pub(crate) async fn call(
    inner: &Arc<Inner>,
    method: &str,
    job: Arc<Job>,
    mut request: Frames,
    reply: &Reply,
) -> Result<(), Status> {
    match method {
        "Ping" => {
            let caps = |ids: &[&str]| ids.iter().map(|id| Cap { id: (*id).to_owned(), enabled: true }).collect();
            let pong = PongResponse {
                frontend_caps: caps(&FRONTEND_CAPS),
                llb_caps: caps(&LLB_CAPS),
                workers: vec![workers::record(&inner.engine)],
            };
            reply.send(&pong).await
        }
        "Solve" => {
            let request = request.next::<BridgeSolveRequest>().await?.unwrap_or_default();
            let result = solve(inner, &job, request).await?;
            reply.send(&BridgeSolveResponse { result: Some(result) }).await
        }
        "Return" => {
            let request = request.next::<ReturnRequest>().await?.unwrap_or_default();
            job.give_back(match request.error.filter(|status| status.code != 0) {
                Some(status) => Err(Status::from_proto(status)),
                None => Ok(request.result.unwrap_or_default()),
            });
            reply.send(&Empty {}).await
        }
        // Results are made when they are exported; nothing is gained by making them earlier.
        "Evaluate" => reply.send(&Empty {}).await,
        "Warn" => {
            let warning = request.next::<WarnRequest>().await?.unwrap_or_default();
            job.with(|_| Some(crate::tell::of_frontend(warning)));
            reply.send(&Empty {}).await
        }
        "Inputs" => reply.send(&Empty {}).await,
        other => Err(Status::new(Code::Unimplemented, format!("the engine's gateway has no {other}"))),
    }
}

async fn solve(inner: &Arc<Inner>, job: &Arc<Job>, request: BridgeSolveRequest) -> Result<BridgeResult, Status> {
    if !request.frontend_inputs.is_empty() {
        return Err(Status::new(Code::Unimplemented, "inputs made by other builds are not supported"));
    }
    let asked = job.asked().await?;
    run_frontend(
        inner,
        job,
        &asked.session,
        &request.frontend,
        &request.frontend_opt,
        request.definition.is_some_and(|d| !d.def.is_empty()),
    )
    .await
}

/// Runs a frontend up to where its steps would be carried out.
pub(crate) async fn run_frontend(
    inner: &Arc<Inner>,
    job: &Arc<Job>,
    session: &str,
    frontend: &str,
    attrs: &HashMap<String, String>,
    has_graph: bool,
) -> Result<BridgeResult, Status> {
    match frontend {
        "dockerfile.v0" => {}
        // `# syntax=` and BUILDKIT_SYNTAX name an image with a frontend in it: there is one, and it is here.
        "gateway.v0" if attrs.get("source").is_some_and(|source| source.contains("docker/dockerfile")) => {}
        "" if has_graph => {
            return Err(Status::new(
                Code::Unimplemented,
                "builds in BuildKit's low-level form are not supported; send a Dockerfile",
            ));
        }
        "" => return Ok(BridgeResult::default()),
        other => {
            return Err(Status::new(
                Code::Unimplemented,
                format!("the frontend {other} is not supported; dockerfile.v0 is there"),
            ));
        }
    }
    let caller = inner.sessions.find(session).await?;
    let asked = options::read(attrs)?;
    let question = asked.question.clone();
    let build_args = asked.options.build_args.clone();
    let remote = Arc::new(Remote::new(Arc::clone(inner), caller, Arc::clone(job), asked));
    if let Some(question) = question {
        let source = remote.source().await?;
        return answer(&question, &source, &build_args);
    }
    match remote::prepare(remote).await {
        Ok(outcome) => {
            let id = job.keep_outcome(Arc::new(outcome));
            Ok(BridgeResult { reference: Some(Ref { id, def: None }), ..BridgeResult::default() })
        }
        Err((broken, source)) => Err(failure(&broken, source.as_ref())),
    }
}

/// What is asked beside building: `--check` and `--call`.
fn answer(
    question: &str,
    source: &Source,
    build_args: &std::collections::BTreeMap<String, String>,
) -> Result<BridgeResult, Status> {
    let mut metadata = HashMap::new();
    match question {
        "subrequests.describe" => {
            let known = json!([
                { "name": "frontend.subrequests.describe", "version": "1.0.0", "type": "rpc" },
                { "name": "frontend.lint", "version": "1.0.0", "type": "rpc" },
                { "name": "frontend.targets", "version": "1.0.0", "type": "rpc" },
            ]);
            metadata.insert("result.json".into(), known.to_string().into_bytes());
        }
        "lint" => {
            let result = lint_result(source, build_args);
            metadata.insert("result.json".into(), result.to_string().into_bytes());
            let status = if result["warnings"].as_array().is_some_and(Vec::is_empty) { "0" } else { "1" };
            metadata.insert("result.statuscode".into(), status.into());
            metadata.insert("version".into(), "1.0.0".into());
        }
        "targets" => {
            let file =
                dockerfile::parse(source).map_err(|broken| failure(&Broken::Dockerfile(broken), Some(source)))?;
            let last = file.stages.len() - 1;
            let stages = file.stages.iter().enumerate().map(|(at, stage)| {
                json!({ "name": stage.name.clone().unwrap_or_default(), "base": stage.base, "default": at == last })
            });
            let result = json!({ "targets": stages.collect::<Vec<_>>(), "sources": [sources(source)] });
            metadata.insert("result.json".into(), result.to_string().into_bytes());
            metadata.insert("version".into(), "1.0.0".into());
        }
        other => {
            return Err(Status::new(
                Code::Unimplemented,
                format!("--call {other} is not supported; check and targets are"),
            ));
        }
    }
    Ok(BridgeResult { metadata, ..BridgeResult::default() })
}

fn sources(source: &Source) -> serde_json::Value {
    use base64::Engine as _;
    let data = base64::prelude::BASE64_STANDARD.encode(&source.text);
    json!({ "filename": source.name, "data": data, "language": "Dockerfile" })
}

fn lint_result(source: &Source, build_args: &std::collections::BTreeMap<String, String>) -> serde_json::Value {
    let mut result = json!({ "warnings": [], "sources": [sources(source)] });
    let place = |first: u32, last: u32| json!({ "sourceIndex": 0, "ranges": [{ "start": { "line": first, "character": 0 }, "end": { "line": last, "character": 0 } }] });
    if let Err(broken) = dockerfile::parse(source) {
        result["buildError"] =
            json!({ "message": broken.message, "location": place(broken.span.first, broken.span.last) });
        return result;
    }
    let warnings = remote::lint(source, build_args);
    result["warnings"] = warnings
        .iter()
        .map(|warning| {
            json!({
                "ruleName": warning.rule,
                "description": warning.description,
                "url": warning.url(),
                "detail": warning.message,
                "location": place(warning.span.first, warning.span.last),
            })
        })
        .collect();
    result
}

/// A failure with its place, which clients show with the lines around it.
pub(crate) fn failure(broken: &Broken, source: Option<&Source>) -> Status {
    let mut status = Status::from(broken.to_error());
    // Clients put other codes before the sentence.
    status.code = Code::Unknown as i32;
    if let (Some(span), Some(source)) = (broken.span(), source) {
        let range =
            json!({ "start": { "line": span.first, "character": 0 }, "end": { "line": span.last, "character": 0 } });
        let place = json!({ "info": sources(source), "ranges": [range] });
        let type_url = "github.com/moby/buildkit/errdefs.Source+json".to_owned();
        status.details.push(Any { type_url, value: place.to_string().into_bytes() });
    }
    status
}
