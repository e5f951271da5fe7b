//! `Control`: what clients ask of the engine.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderMap;
use wharf_api::filters::Filters;
use wharf_api::system::BuildCache;
use wharf_engine::build::PruneOptions;

use crate::grpc::{Code, Frames, Reply, Service, Status};
use crate::job::Job;
use crate::proto::{
    BuildHistoryEvent, BuildHistoryRecord, BuildHistoryRequest, DiskUsageRequest, DiskUsageResponse, Empty, Exporter,
    InfoResponse, ListWorkersResponse, PruneRequest, SolveRequest, SolveResponse, StatusRequest, Timestamp,
    UpdateBuildHistoryRequest, UsageRecord, history_event,
};
use crate::{Inner, export, gateway, workers};

impl Service for Inner {
    async fn call(
        self: Arc<Self>,
        path: String,
        headers: HeaderMap,
        request: Frames,
        reply: Reply,
    ) -> Result<(), Status> {
        let unknown = || Status::new(Code::Unimplemented, format!("unknown method {path}"));
        let (service, method) = path.trim_start_matches('/').split_once('/').ok_or_else(unknown)?;
        match service {
            "moby.buildkit.v1.Control" => control(&self, method, request, &reply).await,
            "moby.buildkit.v1.frontend.LLBBridge" => {
                let id = headers.get("buildkit-controlapi-buildid").and_then(|value| value.to_str().ok());
                let none = || Status::new(Code::InvalidArgument, "the call names no build");
                let job = self.jobs.get(id.ok_or_else(none)?);
                gateway::call(&self, method, job, request, &reply).await
            }
            "grpc.health.v1.Health" if method == "Check" => reply.send(&Healthy { status: 1 }).await,
            _ => Err(unknown()),
        }
    }
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Healthy {
    #[prost(int32, tag = "1")]
    status: i32,
}

async fn control(inner: &Arc<Inner>, method: &str, mut request: Frames, reply: &Reply) -> Result<(), Status> {
    match method {
        "Solve" => {
            let request = request.next::<SolveRequest>().await?.unwrap_or_default();
            let response = solve(inner, request).await?;
            reply.send(&response).await
        }
        "Status" => {
            let request = request.next::<StatusRequest>().await?.unwrap_or_default();
            status(&inner.jobs.get(&request.reference), reply).await
        }
        "ListWorkers" => reply.send(&ListWorkersResponse { record: vec![workers::record(&inner.engine)] }).await,
        "Info" => reply.send(&InfoResponse { version: Some(workers::version()) }).await,
        "DiskUsage" => {
            let request = request.next::<DiskUsageRequest>().await?.unwrap_or_default();
            let filters = filters(&request.filter)?;
            let usage = inner.engine.builds().usage_of(&filters).await?;
            reply.send(&DiskUsageResponse { record: usage.into_iter().map(record).collect() }).await
        }
        "Prune" => prune(inner, request.next().await?.unwrap_or_default(), reply).await,
        "ListenBuildHistory" => listen(inner, request.next().await?.unwrap_or_default(), reply).await,
        "UpdateBuildHistory" => {
            let request = request.next::<UpdateBuildHistoryRequest>().await?.unwrap_or_default();
            let known = match request.delete {
                true => inner.history.remove(&request.reference),
                false => request.finalize || inner.history.pin(&request.reference, request.pinned),
            };
            if !known {
                return Err(Status::new(
                    Code::NotFound,
                    format!("failed to retrieve bucket: no build {}", request.reference),
                ));
            }
            reply.send(&Empty {}).await
        }
        other => Err(Status::new(Code::Unimplemented, format!("unknown method Control/{other}"))),
    }
}

/// Carries a build out from beginning to end.
pub(crate) async fn solve(inner: &Arc<Inner>, request: SolveRequest) -> Result<SolveResponse, Status> {
    let job = inner.jobs.get(&request.reference);
    let _ending = inner.jobs.ending(&job);
    let request = Arc::new(request);
    job.ask(Arc::clone(&request));
    let mut record = BuildHistoryRecord {
        reference: request.reference.clone(),
        frontend: if request.frontend.is_empty() { "dockerfile.v0".into() } else { request.frontend.clone() },
        frontend_attrs: request.frontend_attrs.clone(),
        exporters: request.exporters.clone(),
        created_at: Some(Timestamp::now()),
        ..BuildHistoryRecord::default()
    };
    if !request.internal {
        inner.history.note(record.clone());
    }
    let solved = build(inner, &job, &request).await;
    if !request.internal {
        let counts = job.counts();
        record.completed_at = Some(Timestamp::now());
        record.num_total_steps = counts.total;
        record.num_completed_steps = counts.completed;
        record.num_cached_steps = counts.cached;
        match &solved {
            Ok(response) => record.exporter_response.clone_from(response),
            Err(status) => record.error = Some(status.to_proto()),
        }
        inner.history.note(record);
    }
    solved.map(|exporter_response| SolveResponse { exporter_response })
}

async fn build(inner: &Arc<Inner>, job: &Arc<Job>, request: &SolveRequest) -> Result<HashMap<String, String>, Status> {
    let has_graph = request.definition.as_ref().is_some_and(|graph| !graph.def.is_empty());
    let result = if request.frontend.is_empty() && !has_graph {
        job.returned().await?
    } else {
        gateway::run_frontend(inner, job, &request.session, &request.frontend, &request.frontend_attrs, has_graph)
            .await?
    };
    let id = match &result.reference {
        Some(reference) => reference.id.as_str(),
        None => result.ref_deprecated.as_str(),
    };
    let Some(outcome) = job.outcome(id).filter(|_| !id.is_empty()) else { return Ok(HashMap::new()) };
    export::run(inner, &outcome, &exporters(request)).await
}

/// Where results go; older clients name one place.
fn exporters(request: &SolveRequest) -> Vec<Exporter> {
    if request.exporters.is_empty() && !request.exporter.is_empty() {
        return vec![Exporter { kind: request.exporter.clone(), attrs: request.exporter_attrs.clone() }];
    }
    request.exporters.clone()
}

async fn status(job: &Job, reply: &Reply) -> Result<(), Status> {
    let mut at = 0;
    while let Some(messages) = job.told_since(at).await {
        at += messages.len();
        for message in messages {
            reply.send(&message).await?;
        }
    }
    Ok(())
}

/// Filters as containerd writes them, `name==value`.
fn filters(texts: &[String]) -> Result<Filters, Status> {
    let mut filters = Filters::default();
    for text in texts.iter().flat_map(|text| text.split(',')).filter(|text| !text.is_empty()) {
        let pair = text.split_once("==").or_else(|| text.split_once("~=")).or_else(|| text.split_once('='));
        match pair {
            Some((name, value)) => filters.add(name, value.trim_matches('"')),
            None => filters.add(text, "true"),
        }
    }
    Ok(filters)
}

async fn prune(inner: &Arc<Inner>, request: PruneRequest, reply: &Reply) -> Result<(), Status> {
    let mut filters = filters(&request.filter)?;
    if request.keep_duration > 0 {
        filters.add("until", format!("{}s", request.keep_duration / 1_000_000_000));
    }
    let before = inner.engine.builds().usage().await?;
    let keep = [request.reserved_space, request.max_used_space].into_iter().max().unwrap_or(0);
    let keep = u64::try_from(keep).ok().filter(|bytes| *bytes > 0);
    let pruned = inner.engine.builds().prune(PruneOptions { all: request.all, keep, filters }).await?;
    for gone in before.into_iter().filter(|known| pruned.ids.contains(&known.id)) {
        reply.send(&record(gone)).await?;
    }
    Ok(())
}

fn record(usage: BuildCache) -> UsageRecord {
    UsageRecord {
        mutable: usage.kind == "exec.cachemount",
        in_use: usage.in_use,
        size: usage.size,
        created_at: Timestamp::parse(&usage.created_at),
        last_used_at: usage.last_used_at.as_deref().and_then(Timestamp::parse),
        usage_count: usage.usage_count,
        description: usage.description,
        record_type: usage.kind,
        shared: usage.shared,
        parents: usage.parents,
        id: usage.id,
    }
}

async fn listen(inner: &Arc<Inner>, request: BuildHistoryRequest, reply: &Reply) -> Result<(), Status> {
    let (known, mut events) = inner.history.follow();
    let is_wanted = |event: &BuildHistoryEvent| {
        let active = event.kind == history_event::STARTED;
        let reference = event.record.as_ref().map(|record| record.reference.as_str()).unwrap_or_default();
        (request.reference.is_empty() || request.reference == reference) && (active || !request.active_only)
    };
    let mut wanted: Vec<BuildHistoryEvent> = known.into_iter().filter(&is_wanted).collect();
    if let Ok(limit @ 1..) = usize::try_from(request.limit) {
        wanted.drain(..wanted.len().saturating_sub(limit));
    }
    for event in &wanted {
        reply.send(event).await?;
    }
    if request.early_exit {
        return Ok(());
    }
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = reply.closed() => return Ok(()),
        };
        match event {
            Ok(event) if is_wanted(&event) => reply.send(&event).await?,
            Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}
