//! Containers.

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use hyper::body::Incoming;
use wharf_api::container::{
    Change, CreateRequest, CreateResponse, Inspect, PathStat, PruneReport, Stats, Summary, Top, UpdateRequest,
    UpdateResponse, WaitResponse,
};
use wharf_api::filters::Filters;
use wharf_api::system::header::PATH_STAT;
use wharf_types::{Error, Result};

use crate::body::Upload;
use crate::client::{Client, decode_json};
use crate::connection::Sender;
use crate::hijack::Hijacked;
use crate::query::Target;
use crate::stream::{ByteStream, JsonLines, OutputStream};

/// Which containers are listed, and how.
#[derive(Debug, Clone, Default)]
pub struct ContainerListOptions {
    /// Also those that do not run.
    pub all: bool,
    /// The newest so many, running or not.
    pub limit: Option<i64>,
    /// With sizes, which takes time.
    pub size: bool,
    /// Which.
    pub filters: Filters,
}

/// How a container is stopped.
#[derive(Debug, Clone, Default)]
pub struct StopOptions {
    /// The signal; the container's own stop signal when absent.
    pub signal: Option<String>,
    /// Seconds until SIGKILL, -1 for never; the container's own when absent.
    pub timeout: Option<i64>,
}

/// How a container is removed.
#[derive(Debug, Clone, Copy, Default)]
pub struct ContainerRemoveOptions {
    /// Kill it if it runs.
    pub force: bool,
    /// Also remove its anonymous volumes.
    pub volumes: bool,
    /// Remove a legacy link, not the container.
    pub link: bool,
}

/// What of a container's streams a client takes part in.
#[derive(Debug, Clone, Default)]
pub struct AttachOptions {
    /// First send what it has written so far.
    pub logs: bool,
    /// Send what it writes from now on.
    pub stream: bool,
    /// Connect standard input.
    pub stdin: bool,
    /// Connect standard output.
    pub stdout: bool,
    /// Connect standard error.
    pub stderr: bool,
    /// Key sequence by which the client leaves; `ctrl-p,ctrl-q` when absent.
    pub detach_keys: Option<String>,
}

/// What of a container's logs is read.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// Wait for more at the end.
    pub follow: bool,
    /// Standard input, where the log has it (an extension: other engines ignore it).
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Not before: seconds since 1970, with decimals.
    pub since: Option<String>,
    /// Not after: seconds since 1970, with decimals.
    pub until: Option<String>,
    /// Put the time before each line.
    pub timestamps: bool,
    /// The last so many lines, or `all`.
    pub tail: Option<String>,
    /// With the attributes of the log driver.
    pub details: bool,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// That it does not run; at once if it does not.
    #[default]
    NotRunning,
    /// That it ends after the next start or, if it runs, this one.
    NextExit,
    /// That it is removed.
    Removed,
}

/// How an archive is unpacked in a container.
#[derive(Debug, Clone, Copy, Default)]
pub struct ArchivePut {
    /// Fail where a folder would replace a file or the other way round.
    pub no_overwrite_dir_non_dir: bool,
    /// Keep the archive's owners.
    pub copy_uid_gid: bool,
}

/// A wait that the engine has taken note of: what happens from now on is not missed.
pub struct Waiting {
    client: Client,
    answer: (Response<Incoming>, Sender),
}

impl Waiting {
    /// The container's exit code, once it is there.
    pub async fn outcome(self) -> Result<WaitResponse> {
        let body = self.client.read(self.answer).await?;
        decode_json(&body, "the engine's answer to the wait")
    }
}

impl WaitCondition {
    fn as_str(self) -> &'static str {
        match self {
            WaitCondition::NotRunning => "not-running",
            WaitCondition::NextExit => "next-exit",
            WaitCondition::Removed => "removed",
        }
    }
}

fn container(id: &str, rest: &str) -> Target {
    Target::named("containers", id, rest)
}

/// Requests about containers. `id` is an id, the beginning of one, or a name.
impl Client {
    /// The containers.
    pub async fn container_list(&self, options: &ContainerListOptions) -> Result<Vec<Summary>> {
        let target = Target::new("/containers/json")
            .with_flag("all", options.all)
            .with_option("limit", options.limit)
            .with_flag("size", options.size)
            .with_filters(&options.filters);
        self.json(Method::GET, target).await
    }

    /// Makes a container; `platform` is `os/architecture[/variant]`.
    pub async fn container_create(
        &self,
        name: Option<&str>,
        platform: Option<&str>,
        request: &CreateRequest,
    ) -> Result<CreateResponse> {
        let target = Target::new("/containers/create").with_option("name", name).with_option("platform", platform);
        self.post_json(target, request).await
    }

    /// Everything about a container; sizes take time.
    pub async fn container_inspect(&self, id: &str, size: bool) -> Result<Inspect> {
        self.json(Method::GET, container(id, "/json").with_flag("size", size)).await
    }

    /// The same as the engine sent it, with fields that this crate does not know.
    pub async fn container_inspect_raw(&self, id: &str, size: bool) -> Result<serde_json::Value> {
        self.json(Method::GET, container(id, "/json").with_flag("size", size)).await
    }

    /// Starts a container; fine if it runs already.
    pub async fn container_start(&self, id: &str, detach_keys: Option<&str>) -> Result<()> {
        self.empty(Method::POST, container(id, "/start").with_option("detachKeys", detach_keys)).await
    }

    /// Stops a container; fine if it does not run.
    pub async fn container_stop(&self, id: &str, options: &StopOptions) -> Result<()> {
        self.empty(Method::POST, stopping(container(id, "/stop"), options)).await
    }

    /// Stops a container and starts it again.
    pub async fn container_restart(&self, id: &str, options: &StopOptions) -> Result<()> {
        self.empty(Method::POST, stopping(container(id, "/restart"), options)).await
    }

    /// Sends a signal, by name or number; SIGKILL when absent.
    pub async fn container_kill(&self, id: &str, signal: Option<&str>) -> Result<()> {
        self.empty(Method::POST, container(id, "/kill").with_option("signal", signal)).await
    }

    /// Freezes a container.
    pub async fn container_pause(&self, id: &str) -> Result<()> {
        self.empty(Method::POST, container(id, "/pause")).await
    }

    /// Lets a frozen container go on.
    pub async fn container_unpause(&self, id: &str) -> Result<()> {
        self.empty(Method::POST, container(id, "/unpause")).await
    }

    /// Gives a container another name.
    pub async fn container_rename(&self, id: &str, name: &str) -> Result<()> {
        self.empty(Method::POST, container(id, "/rename").with("name", name)).await
    }

    /// Changes limits and restart policy.
    pub async fn container_update(&self, id: &str, request: &UpdateRequest) -> Result<UpdateResponse> {
        self.post_json(container(id, "/update"), request).await
    }

    /// Removes a container.
    pub async fn container_remove(&self, id: &str, options: ContainerRemoveOptions) -> Result<()> {
        let target = container(id, "")
            .with_flag("force", options.force)
            .with_flag("link", options.link)
            .with_flag("v", options.volumes);
        self.empty(Method::DELETE, target).await
    }

    /// Removes all stopped containers that the filters let through.
    pub async fn container_prune(&self, filters: &Filters) -> Result<PruneReport> {
        self.json(Method::POST, Target::new("/containers/prune").with_filters(filters)).await
    }

    /// Waits; the engine knows of it when this returns, [`Waiting::outcome`] waits for the end.
    pub async fn container_wait(&self, id: &str, condition: WaitCondition) -> Result<Waiting> {
        let target = container(id, "/wait").with("condition", condition.as_str());
        let answer = self.open(Method::POST, target).await?;
        Ok(Waiting { client: self.clone(), answer })
    }

    /// Joins a container's streams.
    pub async fn container_attach(&self, id: &str, options: &AttachOptions) -> Result<Hijacked> {
        let target = container(id, "/attach")
            .with_option("detachKeys", options.detach_keys.as_ref())
            .with_flag("logs", options.logs)
            .with_flag("stderr", options.stderr)
            .with_flag("stdin", options.stdin)
            .with_flag("stdout", options.stdout)
            .with_flag("stream", options.stream);
        self.hijack(target, None::<&()>).await
    }

    /// A container's output so far, and from now on if followed. `tty` is [`wharf_api::container::Config::tty`].
    pub async fn container_logs(&self, id: &str, options: &LogOptions, tty: bool) -> Result<OutputStream> {
        let target = container(id, "/logs")
            .with_flag("details", options.details)
            .with_flag("follow", options.follow)
            .with_option("since", options.since.as_ref())
            .with_flag("stderr", options.stderr)
            .with_flag("stdin", options.stdin)
            .with_flag("stdout", options.stdout)
            .with_option("tail", options.tail.as_ref())
            .with_flag("timestamps", options.timestamps)
            .with_option("until", options.until.as_ref());
        Ok(OutputStream::new(self.stream(Method::GET, target).await?, tty))
    }

    /// Sets the size of a container's terminal, in characters.
    pub async fn container_resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        let target = container(id, "/resize").with("h", &height.to_string()).with("w", &width.to_string());
        self.empty(Method::POST, target).await
    }

    /// A container's processes; `ps_args` are arguments of `ps`, `-ef` when absent.
    pub async fn container_top(&self, id: &str, ps_args: Option<&str>) -> Result<Top> {
        self.json(Method::GET, container(id, "/top").with_option("ps_args", ps_args)).await
    }

    /// One reading of what a container uses. Without `one_shot` the engine takes two, a second apart, for rates.
    pub async fn container_stats(&self, id: &str, one_shot: bool) -> Result<Stats> {
        self.json(Method::GET, container(id, "/stats").with("stream", "0").with_flag("one-shot", one_shot)).await
    }

    /// A reading per second.
    pub async fn container_stats_stream(&self, id: &str) -> Result<JsonLines<Stats>> {
        let target = container(id, "/stats").with("stream", "1");
        Ok(JsonLines::new(self.stream(Method::GET, target).await?))
    }

    /// Files that differ from the image's.
    pub async fn container_changes(&self, id: &str) -> Result<Vec<Change>> {
        self.json(Method::GET, container(id, "/changes")).await
    }

    /// All files of a container as a tar archive.
    pub async fn container_export(&self, id: &str) -> Result<ByteStream> {
        Ok(ByteStream::new(self.stream(Method::GET, container(id, "/export")).await?))
    }

    /// About a path in a container.
    pub async fn container_path_stat(&self, id: &str, path: &str) -> Result<PathStat> {
        path_stat(&self.head(container(id, "/archive").with("path", path)).await?)
    }

    /// A file or folder of a container as a tar archive.
    pub async fn container_archive_get(&self, id: &str, path: &str) -> Result<(PathStat, ByteStream)> {
        let response = self.stream(Method::GET, container(id, "/archive").with("path", path)).await?;
        Ok((path_stat(response.headers())?, ByteStream::new(response)))
    }

    /// Unpacks a tar archive in a folder of a container.
    pub async fn container_archive_put(&self, id: &str, path: &str, options: ArchivePut, tar: Upload) -> Result<()> {
        let on = |on: bool| on.then_some("true");
        let target = container(id, "/archive")
            .with_option("copyUIDGID", on(options.copy_uid_gid))
            .with_option("noOverwriteDirNonDir", on(options.no_overwrite_dir_non_dir))
            .with("path", path);
        let answer = self.upload(Method::PUT, target, tar, "application/x-tar").await?;
        self.read(answer).await.map(drop)
    }
}

fn stopping(target: Target, options: &StopOptions) -> Target {
    target.with_option("signal", options.signal.as_ref()).with_option("t", options.timeout)
}

fn path_stat(headers: &HeaderMap) -> Result<PathStat> {
    let missing = || Error::system("the engine's answer says nothing about the path");
    let encoded = headers.get(PATH_STAT).ok_or_else(missing)?;
    let json: Bytes =
        base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|error| missing().caused_by(error))?.into();
    decode_json(&json, "what the engine says about the path")
}
